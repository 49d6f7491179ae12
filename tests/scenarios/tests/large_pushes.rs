//! Large histories in one push: made by the seeded generator, and a real one where it is there.

use std::path::{Path, PathBuf};

use scenarios::{Client, Installation, Mercurial, Options, mercurials};

const CHANGESETS: u32 = 10_000;
const SEED: u32 = 7;

/// Made once by each version of the generator and kept between runs: making it takes longer than the test.
fn generated(client: &Client) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{SEED}-{CHANGESETS}.hg"));
    if !kept.exists() {
        client.generate("made", SEED, CHANGESETS);
        let fresh = client.folder.join("fresh.hg");
        client.hg("made", &["bundle", "-q", "--all", "--type", "zstd-v2", fresh.to_str().unwrap()]).ok();
        std::fs::copy(&fresh, kept.with_extension("part")).unwrap();
        std::fs::rename(kept.with_extension("part"), &kept).unwrap();
    }
    kept
}

/// Pushes the bundle's changesets in one push, by this client to this server.
fn push_whole(server: &Mercurial, mercurial: &Mercurial, bundle: impl Fn(&Client) -> PathBuf) {
    let installation = Installation::start(Options::new(server, &["large"]));
    let client = Client::new(&installation, mercurial, "developer");
    let bundle = bundle(&client);
    client.hg("", &["init", "local"]).ok();
    client.hg("local", &["unbundle", "-q", bundle.to_str().unwrap()]).ok();
    let before = installation.records();
    let url = client.push_url("large");
    let said = client.hg("local", &["push", "-f", "--new-branch", &url]).ok();
    assert!(said.contains("remote: recorded push in pushlog\n"), "{said}");
    assert_eq!(installation.records(), before + 1);
    client.is_on_every_mirror(&installation, "large", "local");
    client.hg("local-from-0", &["verify", "-q"]).ok();
}

#[test]
fn ten_thousand_changesets_in_one_push() {
    let all = mercurials();
    for (number, server) in all.iter().enumerate() {
        // The other version pushes.
        push_whole(server, &all[(number + 1) % all.len()], generated);
    }
}

/// `HGOP_REAL_HISTORY`, or `shared/data/version-control-tools.hg` beside this project.
fn real_history() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/version-control-tools.hg");
    let named = std::env::var_os("HGOP_REAL_HISTORY").map_or_else(beside, PathBuf::from);
    named.canonicalize().ok()
}

#[test]
fn a_real_history_in_one_push() {
    let Some(bundle) = real_history() else {
        eprintln!("SKIPPED: HGOP_REAL_HISTORY names no bundle of a real history");
        return;
    };
    let newest = mercurials().pop().unwrap();
    push_whole(&newest, &newest, |_| bundle.clone());
}
