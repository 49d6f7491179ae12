//! An instance is its disk: a data directory carries its own id (`instance.json`), and one process at a time uses it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use protocol::{DiskId, InstanceName};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::{durable, private};

/// Raised when a data directory is written in a way that older programs must not touch.
pub const FORMAT_VERSION: u32 = 1;

/// A longer `instance.json` is not ours.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// An open data directory. The lock is held until this is dropped, hence keep it for the life of the process.
#[derive(Debug)]
pub struct Instance {
    pub directory: PathBuf,
    pub name: InstanceName,
    /// A UUID made with the directory; a copied or restored directory keeps it.
    pub id: DiskId,
    /// None where several machines have the directory: a lock there would outlive the machine that held it.
    _held: Option<File>,
}

/// Shared volume's name as an instance.
const SHARED: &str = "shared";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {directory} is in use by process {pid}: stop it, or use another directory")]
    UsedBy { directory: PathBuf, pid: u32 },
    #[error("the data directory {0} is in use by another process: stop it, or use another directory")]
    Used(PathBuf),
    #[error(
        "the data directory {directory} was written by a newer hgd (format {found}, this one knows {FORMAT_VERSION}): \
         start it with that hgd"
    )]
    Newer { directory: PathBuf, found: u32 },
    #[error("the data directory {directory} belongs to instance {found}, not to {wanted}: give each instance its own")]
    WrongName { directory: PathBuf, found: InstanceName, wanted: InstanceName },
    #[error("{path} is damaged ({reason}): restore it, or move its whole directory away and start anew")]
    Damaged { path: PathBuf, reason: String },
    #[error("{0} is the volume of all SSH instances: the register means it, and there is no other")]
    Shared(PathBuf),
    #[error("'{0}' is not the name of an instance")]
    Name(String),
    #[error("{path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
}

#[derive(Serialize, Deserialize)]
struct InstanceFile {
    version: u32,
    id: DiskId,
    name: InstanceName,
}

/// Opens `directory` for the instance `name`; makes it when it is not there.
pub fn open(directory: &Path, name: &InstanceName) -> Result<Instance, OpenError> {
    open_with(directory, name, true)
}

/// Opens the `directory` that all SSH instances share, without a lock: who may open it is for the register to say.
pub fn open_shared(directory: &Path) -> Result<Instance, OpenError> {
    open_with(directory, &SHARED.parse().map_err(|_| OpenError::Name(SHARED.to_owned()))?, false)
}

/// Gives a directory that is a copy, or was restored from one, an id of its own: the register does not mean it, and
/// its instance follows as a newcomer instead of being taken for what it was. Refused while a process has it open.
pub fn renew(directory: &Path) -> Result<Instance, OpenError> {
    let path = directory.join("instance.json");
    let failed = |source| OpenError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(in_use(directory, &file));
    }
    let mut text = String::new();
    (&file).take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    let InstanceFile { version, name, .. } = parse(directory, &path, &text)?;
    if name.as_str() == SHARED {
        return Err(OpenError::Shared(directory.to_owned()));
    }
    let made = InstanceFile { version, id: new_id(), name };
    fill(&mut file, &path, &made).map_err(failed)?;
    Ok(Instance { directory: directory.to_owned(), name: made.name, id: made.id, _held: Some(file) })
}

fn open_with(directory: &Path, name: &InstanceName, alone: bool) -> Result<Instance, OpenError> {
    let path = directory.join("instance.json");
    let failed = |source| OpenError::Io { path: path.clone(), source };
    std::fs::create_dir_all(directory).map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    if alone && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(in_use(directory, &file));
    }
    let mut text = String::new();
    (&file).take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    let written = if text.is_empty() {
        // Also after a crash between making the file and filling it: nothing else was in the directory then.
        let made = InstanceFile { version: FORMAT_VERSION, id: new_id(), name: name.clone() };
        fill(&mut file, &path, &made).and_then(|()| durable::sync_parent(directory)).map_err(failed)?;
        made
    } else {
        check(directory, &path, &text, name)?
    };
    let closed = private::close(directory).map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
    if closed > 0 {
        tracing::warn!(closed, directory = %directory.display(), "others had rights in the data directory");
    }
    Ok(Instance { directory: directory.to_owned(), name: written.name, id: written.id, _held: alone.then_some(file) })
}

fn check(directory: &Path, path: &Path, text: &str, wanted: &InstanceName) -> Result<InstanceFile, OpenError> {
    let written = parse(directory, path, text)?;
    if written.name != *wanted {
        return Err(OpenError::WrongName {
            directory: directory.to_owned(),
            found: written.name,
            wanted: wanted.clone(),
        });
    }
    Ok(written)
}

fn parse(directory: &Path, path: &Path, text: &str) -> Result<InstanceFile, OpenError> {
    /// Read first: a newer format may differ in everything else.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let damaged = |error: serde_json::Error| OpenError::Damaged { path: path.to_owned(), reason: error.to_string() };
    let found = serde_json::from_str::<Head>(text).map_err(damaged)?.version;
    if found > FORMAT_VERSION {
        return Err(OpenError::Newer { directory: directory.to_owned(), found });
    }
    serde_json::from_str(text).map_err(damaged)
}

fn fill(file: &mut File, path: &Path, written: &InstanceFile) -> io::Result<()> {
    let mut text = serde_json::to_vec(written)?;
    text.push(b'\n');
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()?;
    durable::sync_parent(path)
}

fn in_use(directory: &Path, file: &File) -> OpenError {
    match lock_holder(file) {
        Some(pid) => OpenError::UsedBy { directory: directory.to_owned(), pid },
        None => OpenError::Used(directory.to_owned()),
    }
}

/// Linux lists file locks with their holder in `/proc/locks`; unknown elsewhere and across PID namespaces (pid 0).
fn lock_holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        let same = place.rsplit(':').next() == Some(inode.as_str());
        same.then(|| pid.parse().ok()).flatten().filter(|pid| *pid != 0)
    })
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> DiskId {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    uuid.try_into().unwrap_or_else(|_| unreachable!("hexadecimal digits are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> InstanceName {
        text.parse().unwrap()
    }

    #[test]
    fn a_directory_keeps_its_id() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("ssh-0");
        let first = open(&directory, &name("ssh-0")).unwrap();
        assert_eq!(first.id.as_str().len(), 36);
        let id = first.id.clone();
        drop(first);
        assert_eq!(open(&directory, &name("ssh-0")).unwrap().id, id);
        assert_ne!(open(&base.path().join("other"), &name("ssh-0")).unwrap().id, id);
    }

    #[test]
    fn a_copy_is_given_an_id_of_its_own() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("ssh-0");
        let held = open(&directory, &name("ssh-0")).unwrap();
        assert!(matches!(renew(&directory), Err(OpenError::UsedBy { .. } | OpenError::Used(_))));
        let before = held.id.clone();
        drop(held);
        let after = renew(&directory).unwrap();
        assert_ne!(after.id, before);
        let id = after.id.clone();
        drop(after);
        assert_eq!(open(&directory, &name("ssh-0")).unwrap().id, id);
        let shared = base.path().join("shared");
        drop(open_shared(&shared).unwrap());
        assert!(matches!(renew(&shared), Err(OpenError::Shared(_))));
        assert!(matches!(renew(&base.path().join("nothing")), Err(OpenError::Io { .. })));
    }

    #[test]
    fn a_second_process_is_told_who_uses_the_directory() {
        let base = tempfile::tempdir().unwrap();
        let _held = open(base.path(), &name("ssh-0")).unwrap();
        let refused = open(base.path(), &name("ssh-0")).unwrap_err();
        let directory = base.path().display();
        let known = format!("the data directory {directory} is in use by process {}: stop it", std::process::id());
        let unknown = format!("the data directory {directory} is in use by another process: stop it");
        let refused = refused.to_string();
        assert!([known, unknown].iter().any(|text| refused.starts_with(text)), "{refused}");
    }

    #[test]
    fn a_shared_directory_has_one_id_and_no_lock() {
        let base = tempfile::tempdir().unwrap();
        let first = open_shared(base.path()).unwrap();
        // A machine that hangs still has it open.
        assert_eq!(open_shared(base.path()).unwrap().id, first.id);
        assert!(matches!(open(base.path(), &name("ssh-0")), Err(OpenError::WrongName { .. })));
    }

    #[test]
    fn a_directory_of_another_or_a_newer_instance_is_refused() {
        let base = tempfile::tempdir().unwrap();
        drop(open(base.path(), &name("ssh-0")).unwrap());
        let refused = open(base.path(), &name("ssh-1")).unwrap_err().to_string();
        assert!(refused.contains("belongs to instance ssh-0, not to ssh-1"), "{refused}");
        std::fs::write(base.path().join("instance.json"), r#"{"version":2,"new":true}"#).unwrap();
        let refused = open(base.path(), &name("ssh-0")).unwrap_err().to_string();
        assert!(refused.contains("newer hgd (format 2, this one knows 1)"), "{refused}");
        std::fs::write(base.path().join("instance.json"), "nonsense").unwrap();
        assert!(matches!(open(base.path(), &name("ssh-0")), Err(OpenError::Damaged { .. })));
    }
}
