//! Durable files: what survives a power loss. Small files that are replaced, so that either the old or the new text is
//! there, and whole folders.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// How far a failed replacement came.
#[derive(Debug)]
pub enum Failed {
    /// The old text is still there.
    Before(io::Error),
    /// The new text can be read, but may not survive a power loss.
    After(io::Error),
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> io::Error {
        match failed {
            Failed::Before(error) | Failed::After(error) => error,
        }
    }
}

/// Only one process may do this at a time: the caller holds a lock.
pub fn replace(path: &Path, text: &[u8]) -> Result<(), Failed> {
    let temporary = path.with_extension("new");
    write_new(&temporary, text).and_then(|()| std::fs::rename(&temporary, path)).map_err(Failed::Before)?;
    sync_parent(path).map_err(Failed::After)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Makes names in the folder of `path` survive a power loss.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Makes a file, or a folder with all that is in it, survive a power loss; what leads there is for the caller. What
/// goes away meanwhile is passed over.
pub fn sync_tree(path: &Path) -> io::Result<()> {
    match sync_existing(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_existing(path: &Path) -> io::Result<()> {
    let kind = std::fs::symlink_metadata(path)?.file_type();
    if kind.is_dir() {
        for entry in std::fs::read_dir(path)? {
            sync_tree(&entry?.path())?;
        }
    }
    // Links have no content, and sockets none that is kept.
    if kind.is_dir() || kind.is_file() { File::open(path)?.sync_all() } else { Ok(()) }
}
