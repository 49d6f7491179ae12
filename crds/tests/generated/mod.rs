//! Files that are written from the code: compared with what the code says, or written anew when `UPDATE_GENERATED` is
//! set.

use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn is_current(file: &str, text: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    if there != text {
        let line = there.lines().zip(text.lines()).take_while(|(there, now)| there == now).count() + 1;
        panic!("{file} is not current from line {line} on: UPDATE_GENERATED=1 cargo test -p crds writes it anew");
    }
}
