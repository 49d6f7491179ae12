//! A large history: the real one where there is one, else one that a seed makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use scenarios::{Client, Mercurial};

/// The project's real input, beside the working copy.
const REAL: &str = "../../../shared/data/version-control-tools.hg";
const GENERATOR: &str = include_str!("../../scenarios/src/history.py");
const GENERATED_CHANGESETS: &str = "8439";
const SEED: &str = "1";

/// Makes `repository` in the client's folder; says what it is.
pub fn make(client: &Client, mercurial: &Mercurial, repository: &str, quick: bool) -> String {
    client.hg("", &["init", repository]).ok();
    let real: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(REAL);
    if real.exists() && !quick {
        client.hg(repository, &["unbundle", "-q", real.canonicalize().unwrap().to_str().unwrap()]).ok();
    } else {
        let count = if quick { "500" } else { GENERATED_CHANGESETS };
        let mut command = Command::new(&mercurial.python);
        command.args(["-c", GENERATOR, SEED, count]).current_dir(client.folder.join(repository)).env("HGRCPATH", "");
        assert!(command.status().unwrap().success());
    }
    let count = client.hg(repository, &["log", "-T", "x"]).ok().len();
    let kind = if real.exists() && !quick { "a real history" } else { "a generated history" };
    format!("{kind} of {count} changesets")
}
