//! The repository's files.

use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Nothing of ours is larger; a file that is would not be text.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The root of the repository that this crate is part of.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// Every text file (path from `root`, text): what git tracks or would track; without git, everything that is not
/// built.
pub fn files(root: &Path) -> Result<Vec<(String, String)>, Error> {
    let mut paths = match tracked(root) {
        Some(paths) => paths,
        None => walked(root)?,
    };
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let full = root.join(&path);
        // Deleted or moved but not yet committed.
        let Ok(metadata) = full.symlink_metadata() else { continue };
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            continue;
        }
        if let Ok(text) = String::from_utf8(std::fs::read(&full)?) {
            files.push((path, text));
        }
    }
    Ok(files)
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let names = String::from_utf8(listed.stdout).ok()?;
    Some(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn walked(root: &Path) -> Result<Vec<String>, Error> {
    let mut folders = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let made = ["target", ".git", ".venv", "__pycache__", "data"].iter().any(|made| name == *made);
            if path.is_dir() && !made {
                folders.push(path);
            } else if let Some(path) = path.strip_prefix(root).ok().and_then(Path::to_str).filter(|_| !made) {
                paths.push(path.to_owned());
            }
        }
    }
    Ok(paths)
}
