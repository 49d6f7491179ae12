//! The Mercurials of this machine: Debian's and the newest one from PyPI, named by `HG_PYTHONS`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One installed Mercurial: the interpreter that can import it and its `hg` script.
#[derive(Clone, Debug)]
pub struct Mercurial {
    pub python: PathBuf,
    pub hg: PathBuf,
    pub version: String,
}

/// All that `HG_PYTHONS` (paths parted by colons; default `/usr/bin/python3`) names, oldest first.
pub fn mercurials() -> Vec<Mercurial> {
    let named = std::env::var("HG_PYTHONS").unwrap_or_else(|_| "/usr/bin/python3".into());
    let mut found: Vec<_> =
        named.split(':').filter(|path| !path.is_empty()).map(|path| describe(Path::new(path))).collect();
    assert!(!found.is_empty(), "HG_PYTHONS names no interpreter");
    found.sort_by(|a, b| a.version.cmp(&b.version));
    found
}

fn describe(python: &Path) -> Mercurial {
    let script = "from mercurial import util; print(util.version().decode())";
    let output = Command::new(python).args(["-c", script]).output().expect("an interpreter of HG_PYTHONS runs");
    assert!(output.status.success(), "{} cannot import mercurial", python.display());
    let hg = python.parent().expect("an interpreter has a folder").join("hg");
    assert!(hg.exists(), "{} does not exist", hg.display());
    let version = String::from_utf8(output.stdout).expect("a version is text").trim().to_owned();
    Mercurial { python: python.to_owned(), hg, version }
}
