//! The register as a file, with the conditional writes that a Kubernetes Lease has.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use protocol::{Generation, InstanceName};
use rustix::fs::FlockOperation;

use crate::durable::{self, Failed};
use crate::{State, Version, Versioned};

/// A larger file is not a register.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Each lost race means that another process has written; so many in a row mean that something is broken.
const MAX_LOST_RACES: u32 = 100;

/// Cheap to open again; every process opens its own.
#[derive(Clone, Debug)]
pub struct Register {
    path: PathBuf,
    lock: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the register {path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the register {path} is damaged ({reason}): only a person may say who is master now")]
    Damaged { path: PathBuf, reason: String },
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was written: somebody else has written since `expected` was read.
    #[error("the register has changed: version {expected:?} was expected, it holds {current:?}")]
    Conflict { expected: Version, current: Version },
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing was written.
    #[error("the register {path} cannot be written: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// It may hold the new state: until a later write succeeds, commits need every set that it may hold.
    #[error("the register {path} was written, but may not survive a power loss: {source}")]
    Unknown { path: PathBuf, source: io::Error },
}

#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error("the register names {master} as master of generation {generation}; only it may open the log")]
    HeldBy { master: InstanceName, generation: Generation },
    #[error("the register names no master since generation {0}: a promotion is under way")]
    Frozen(Generation),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Register {
    /// Names the file; it need not be there yet, its folder is made.
    pub fn open(path: &Path) -> Result<Register, ReadError> {
        let failed = |source| ReadError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        Ok(Register { path: path.to_owned(), lock: path.with_extension("lock") })
    }

    /// None: nothing has been written yet.
    pub fn read(&self) -> Result<Option<Versioned<State>>, ReadError> {
        let failed = |source| ReadError::Io { path: self.path.clone(), source };
        let damaged = |reason| ReadError::Damaged { path: self.path.clone(), reason };
        match std::fs::metadata(&self.path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(other) => return Err(failed(other)),
            Ok(found) if found.len() > MAX_FILE_BYTES => return Err(damaged(format!("{} bytes", found.len()))),
            Ok(_) => {}
        }
        let text = std::fs::read(&self.path).map_err(failed)?;
        serde_json::from_slice(&text).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Writes `state` if the register still holds `expected` ([`Version::NONE`] for the first write).
    pub fn write(&self, expected: Version, state: State) -> Result<Version, WriteError> {
        let _held = self.lock()?;
        let current = self.read()?.map_or(Version::NONE, |found| found.version);
        if current != expected {
            return Err(WriteError::Conflict { expected, current });
        }
        let version = Version(current.0 + 1);
        let path = || self.path.clone();
        let text = serde_json::to_vec(&Versioned { version, value: state })
            .map_err(|error| WriteError::Io { path: path(), source: error.into() })?;
        match durable::replace(&self.path, &text) {
            Ok(()) => Ok(version),
            Err(Failed::Before(source)) => Err(WriteError::Io { path: path(), source }),
            Err(Failed::After(source)) => Err(WriteError::Unknown { path: path(), source }),
        }
    }

    /// What every opening of the log for writing begins with, also after a restart: the next generation for `master`.
    /// Refused while the register names another master, or none; only a promotion changes that.
    pub fn take_generation(
        &self,
        master: &InstanceName,
        in_sync: &BTreeSet<InstanceName>,
    ) -> Result<Versioned<State>, TakeError> {
        let mut races = 0;
        loop {
            let found = self.read().map_err(WriteError::from)?;
            let (expected, generation) = match found {
                None => (Version::NONE, Generation(0)),
                Some(found) => match found.value.master {
                    Some(holder) if holder == *master => (found.version, found.value.generation),
                    Some(holder) => {
                        return Err(TakeError::HeldBy { master: holder, generation: found.value.generation });
                    }
                    None => return Err(TakeError::Frozen(found.value.generation)),
                },
            };
            let state =
                State { generation: generation.next(), master: Some(master.clone()), in_sync: in_sync.clone() };
            match self.write(expected, state.clone()) {
                Ok(version) => return Ok(Versioned { version, value: state }),
                Err(WriteError::Conflict { .. }) if races < MAX_LOST_RACES => races += 1,
                Err(other) => return Err(other.into()),
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
    use super::*;

    fn name(text: &str) -> InstanceName {
        text.parse().unwrap()
    }

    fn state(generation: u64, master: Option<&str>) -> State {
        State {
            generation: Generation(generation),
            master: master.map(name),
            in_sync: BTreeSet::from([name("ssh-1")]),
        }
    }

    fn register() -> (tempfile::TempDir, Register) {
        let directory = tempfile::tempdir().unwrap();
        let register = Register::open(&directory.path().join("deep/register.json")).unwrap();
        (directory, register)
    }

    #[test]
    fn a_write_needs_the_version_that_is_there() {
        let (_keep, register) = register();
        assert_eq!(register.read().unwrap(), None);
        let first = register.write(Version::NONE, state(1, Some("ssh-0"))).unwrap();
        assert!(matches!(
            register.write(Version::NONE, state(9, Some("ssh-1"))),
            Err(WriteError::Conflict { current: Version(1), .. })
        ));
        let second = register.write(first, state(2, None)).unwrap();
        assert_eq!(register.read().unwrap(), Some(Versioned { version: second, value: state(2, None) }));
        assert!(matches!(register.write(first, state(3, None)), Err(WriteError::Conflict { .. })));
        let text = std::fs::read_to_string(&register.path).unwrap();
        assert_eq!(text, r#"{"version":2,"generation":2,"master":null,"inSync":["ssh-1"]}"#);
    }

    #[test]
    fn of_many_writers_exactly_one_wins_each_version() {
        let (_keep, register) = register();
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let register = register.clone();
                std::thread::spawn(move || {
                    (0..20)
                        .filter(|_| {
                            let at = register.read().unwrap().map_or(Version::NONE, |found| found.version);
                            register.write(at, state(n, Some("ssh-0"))).is_ok()
                        })
                        .count() as u64
                })
            })
            .collect();
        let won: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(register.read().unwrap().unwrap().version, Version(won));
        assert!(won >= 20);
    }

    #[test]
    fn every_opening_takes_a_new_generation() {
        let (_keep, register) = register();
        let in_sync = BTreeSet::from([name("ssh-1")]);
        for generation in 1..=3 {
            let taken = register.take_generation(&name("ssh-0"), &in_sync).unwrap();
            assert_eq!(taken.value, state(generation, Some("ssh-0")));
            assert_eq!(register.read().unwrap().unwrap(), taken);
        }
        let refused = register.take_generation(&name("ssh-1"), &in_sync).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the register names ssh-0 as master of generation 3; only it may open the log"
        );
        register.write(Version(3), state(4, None)).unwrap();
        assert!(matches!(register.take_generation(&name("ssh-0"), &in_sync), Err(TakeError::Frozen(Generation(4)))));
    }

    #[test]
    fn a_damaged_register_is_neither_read_nor_overwritten() {
        let (_keep, register) = register();
        register.write(Version::NONE, state(7, Some("ssh-0"))).unwrap();
        std::fs::write(&register.path, "{\"version\":1").unwrap();
        assert!(matches!(register.read(), Err(ReadError::Damaged { .. })));
        assert!(register.take_generation(&name("ssh-0"), &BTreeSet::new()).is_err());
        assert!(register.write(Version::NONE, state(1, None)).is_err());
        assert_eq!(std::fs::read_to_string(&register.path).unwrap(), "{\"version\":1");
    }
}
