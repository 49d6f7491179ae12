//! Replaces a small file so that after a power loss either the old or the new text is there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// How far a failed replacement came.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The old text is still there.
    Before(io::Error),
    /// The new text can be read, but may not survive a power loss.
    After(io::Error),
}

/// Only one process may do this at a time: the caller holds a lock.
pub(crate) fn replace(path: &Path, text: &[u8]) -> Result<(), Failed> {
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
