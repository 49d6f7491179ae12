//! The register as a file, with the conditional writes that a Kubernetes Lease has.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::durable::{self, Failed};
use crate::{ReadError, State, Version, Versioned, WriteError};

/// A larger file is not a register.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Register in a file. Methods block, for milliseconds: they read one small file, or write and sync it.
#[derive(Clone, Debug)]
pub struct FileRegister {
    path: PathBuf,
    lock: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct RegisterFile {
    /// Grows by one at each write.
    version: u64,
    #[serde(flatten)]
    state: State,
}

impl FileRegister {
    pub(crate) fn open(path: &Path) -> Result<FileRegister, ReadError> {
        let failed = |source| ReadError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        Ok(FileRegister { path: path.to_owned(), lock: path.with_extension("lock") })
    }

    pub(crate) fn read(&self) -> Result<Option<Versioned<State>>, ReadError> {
        let failed = |source| ReadError::Io { path: self.path.clone(), source };
        let damaged = |reason| ReadError::Damaged { place: self.path.display().to_string(), reason };
        match std::fs::metadata(&self.path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(other) => return Err(failed(other)),
            Ok(found) if found.len() > MAX_FILE_BYTES => return Err(damaged(format!("{} bytes", found.len()))),
            Ok(_) => {}
        }
        let text = std::fs::read(&self.path).map_err(failed)?;
        let written: RegisterFile = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(Versioned { version: Version::File(written.version), value: written.state }))
    }

    pub(crate) fn write(&self, expected: &Version, state: State) -> Result<Version, WriteError> {
        let _held = self.lock()?;
        let current = self.read()?.map_or(Version::None, |found| found.version);
        if current != *expected {
            return Err(WriteError::Conflict { expected: expected.clone(), current: Some(current) });
        }
        let version = match current {
            Version::File(version) => version + 1,
            Version::None | Version::Lease(_) => 1,
        };
        let path = || self.path.clone();
        let text = serde_json::to_vec(&RegisterFile { version, state })
            .map_err(|error| WriteError::Io { path: path(), source: error.into() })?;
        match durable::replace(&self.path, &text) {
            Ok(()) => Ok(Version::File(version)),
            Err(Failed::Before(source)) => Err(WriteError::Io { path: path(), source }),
            Err(Failed::After(error)) => {
                Err(WriteError::Unknown { place: self.path.display().to_string(), reason: error.to_string() })
            }
        }
    }

    /// Held until dropped. A file of its own, because the register itself is replaced by each write.
    fn lock(&self) -> Result<File, WriteError> {
        let failed = |source| WriteError::Io { path: self.lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock).map_err(failed)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::Generation;

    use super::*;

    #[test]
    fn a_damaged_register_is_neither_read_nor_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let register = FileRegister::open(&directory.path().join("register.json")).unwrap();
        let state = |generation| State {
            generation: Generation(generation),
            master: Some("ssh-0".parse().unwrap()),
            in_sync: BTreeSet::from(["ssh-1".parse().unwrap()]),
            ..State::default()
        };
        register.write(&Version::None, state(7)).unwrap();
        let text = std::fs::read_to_string(&register.path).unwrap();
        assert_eq!(text, r#"{"version":1,"generation":7,"master":"ssh-0","inSync":["ssh-1"]}"#);
        std::fs::write(&register.path, "{\"version\":1").unwrap();
        assert!(matches!(register.read(), Err(ReadError::Damaged { .. })));
        assert!(register.write(&Version::None, state(1)).is_err());
        assert!(register.write(&Version::File(1), state(1)).is_err());
        assert_eq!(std::fs::read_to_string(&register.path).unwrap(), "{\"version\":1");
    }
}
