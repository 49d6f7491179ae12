//! A mirror's disk damages a repository: it is noticed, a peer serves it, and it is mended without a hand.

use std::path::{Path, PathBuf};

use scenarios::{Client, Installation, Mercurial, Options, mercurials, wait_for};

fn store(installation: &Installation, mirror: &str) -> PathBuf {
    let folder = installation.data().join(mirror).join("repositories");
    let repository = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    repository.join(".hg").join("store")
}

/// The last bytes of an inline revlog are those of its newest revision.
fn overwrite_end(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(b"????");
    std::fs::write(file, bytes).unwrap();
}

fn quarantined(installation: &Installation, mirror: &str) -> Vec<String> {
    let status = installation.status();
    let found = status.mirrors.iter().find(|m| m.name.as_str() == mirror).unwrap();
    found.quarantined.iter().map(ToString::to_string).collect()
}

fn with_history(server: &Mercurial) -> (Installation, Client) {
    let installation = Installation::start(Options::new(server, &["hello"]));
    let client = Client::new(&installation, server, "developer");
    client.init("local");
    client.commit("local", "file", "second");
    client.hg("local", &["push", &client.push_url("hello")]).ok();
    client.is_on_every_mirror(&installation, "hello", "local");
    (installation, client)
}

#[test]
fn content_that_nobody_reads_is_found_and_mended() {
    let server = mercurials().remove(0);
    let (installation, client) = with_history(&server);
    // A file where archives are put holds the cure up, so that its beginning can be seen.
    let scratch = installation.data().join("mirror-0/run/scratch");
    std::fs::remove_dir_all(&scratch).unwrap();
    std::fs::write(&scratch, "").unwrap();
    overwrite_end(&store(&installation, "mirror-0").join("data/file.i"));
    wait_for("quarantine", || match quarantined(&installation, "mirror-0") {
        paths if paths == ["hello"] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let url = format!("{}/hello", installation.ready().mirrors[0]);
    client.hg("", &["clone", "-q", &url, "meanwhile"]).ok();
    assert_eq!(client.view("meanwhile"), client.view("local"));
    client.commit("local", "file", "third");
    client.hg("local", &["push", &client.push_url("hello")]).ok();

    std::fs::remove_file(&scratch).unwrap();
    std::fs::create_dir(&scratch).unwrap();
    wait_for("the end of the quarantine", || match quarantined(&installation, "mirror-0") {
        paths if paths.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    client.is_on_every_mirror(&installation, "hello", "local");
    let folder = store(&installation, "mirror-0");
    client.hg("", &["verify", "-R", folder.ancestors().nth(2).unwrap().to_str().unwrap()]).ok();
}

#[test]
fn a_lost_changelog_is_fetched_again() {
    let server = mercurials().remove(0);
    let (installation, client) = with_history(&server);
    let changelog = store(&installation, "mirror-1").join("00changelog.i");
    let before = std::fs::read(&changelog).unwrap();
    std::fs::write(&changelog, "").unwrap();
    wait_for("the changelog", || match std::fs::read(&changelog) {
        Ok(now) if now == before => Ok(()),
        other => Err(format!("{:?} bytes", other.map(|bytes| bytes.len()))),
    });
    client.is_on_every_mirror(&installation, "hello", "local");
}
