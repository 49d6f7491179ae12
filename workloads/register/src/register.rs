//! The one register of an installation, wherever it is.

use std::path::Path;

use protocol::{DiskId, InstanceName};

use crate::{FileRegister, LeaseRegister, ReadError, State, TakeError, Version, Versioned, WriteError};

/// Each lost race means that another process has written; so many in a row mean that something is broken.
const MAX_LOST_RACES: u32 = 100;

/// Cheap to open again; every process opens its own.
#[derive(Clone)]
pub enum Register {
    File(FileRegister),
    Lease(Box<LeaseRegister>),
}

impl Register {
    /// Names the file; it need not be there yet, its folder is made.
    pub fn file(path: &Path) -> Result<Register, ReadError> {
        FileRegister::open(path).map(Register::File)
    }

    /// Names the Lease, in the cluster that this process runs in (or that `KUBECONFIG` names). Asks nothing yet.
    pub async fn lease(namespace: &str, name: &str) -> Result<Register, ReadError> {
        LeaseRegister::open(namespace, name).await.map(Register::from)
    }

    /// For the holder of a register that is renewed: a Lease says then when it was, and in which pod.
    pub fn stamping(self, pod: Option<String>) -> Register {
        match self {
            Register::Lease(lease) => Register::from(lease.stamping(pod)),
            file @ Register::File(_) => file,
        }
    }

    /// None: nothing has been written yet.
    pub async fn read(&self) -> Result<Option<Versioned<State>>, ReadError> {
        match self {
            Register::File(file) => file.read(),
            Register::Lease(lease) => lease.read().await,
        }
    }

    /// As [`Register::read`]; and whether the last one who wrote as `name` did so in another pod than this one. A file
    /// knows of no pods.
    pub async fn read_as(&self, name: &InstanceName) -> Result<Option<(Versioned<State>, bool)>, ReadError> {
        match self {
            Register::File(file) => Ok(file.read()?.map(|found| (found, false))),
            Register::Lease(lease) => lease.read_as(name).await,
        }
    }

    /// Writes `state` if the register still holds `expected` (for the first write of a file: [`Version::None`]).
    pub async fn write(&self, expected: &Version, state: State) -> Result<Version, WriteError> {
        match self {
            Register::File(file) => file.write(expected, state),
            Register::Lease(lease) => lease.write(expected, state).await,
        }
    }

    /// Takes a generation, with which every opening of the log for writing begins, also after a restart: the next one
    /// for `master`. Refused while the register names another master, none, or this one with another disk; only a
    /// promotion changes that.
    pub async fn take_generation(&self, master: &InstanceName, disk: &DiskId) -> Result<Versioned<State>, TakeError> {
        let mut races = 0;
        loop {
            let found = self.read().await.map_err(WriteError::from)?;
            let (expected, state) = match found {
                None => {
                    let first = State { master: Some(master.clone()), ..State::default() };
                    (Version::None, first.opened(master, disk))
                }
                Some(found) => (found.version, next(&found.value, master, disk)?),
            };
            match self.write(&expected, state.clone()).await {
                Ok(version) => return Ok(Versioned { version, value: state }),
                Err(WriteError::Conflict { .. }) if races < MAX_LOST_RACES => races += 1,
                Err(other) => return Err(other.into()),
            }
        }
    }
}

fn next(found: &State, master: &InstanceName, disk: &DiskId) -> Result<State, TakeError> {
    match &found.master {
        Some(holder) if holder != master => {
            Err(TakeError::HeldBy { master: holder.clone(), generation: found.generation })
        }
        Some(_) if !found.means(master, disk) => Err(TakeError::OtherDisk { master: master.clone() }),
        Some(_) => Ok(found.opened(master, disk)),
        None => Err(TakeError::Frozen(found.generation)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::Generation;

    use super::*;
    use crate::lease::tests::Cluster;

    fn name(text: &str) -> InstanceName {
        text.parse().unwrap()
    }

    fn state(generation: u64, master: Option<&str>) -> State {
        let master = master.map(name);
        let in_sync = BTreeSet::from([name("ssh-1")]);
        State { generation: Generation(generation), master, in_sync, ..State::default() }
    }

    fn disk(text: &str) -> DiskId {
        text.parse().unwrap()
    }

    /// One of each kind, as its maker leaves it: generation 0, `ssh-0` to be master.
    async fn each(test: impl AsyncFn(Register)) {
        let directory = tempfile::tempdir().unwrap();
        let file = Register::file(&directory.path().join("deep/register.json")).unwrap();
        assert_eq!(file.read().await.unwrap(), None);
        file.write(&Version::None, state(0, Some("ssh-0"))).await.unwrap();
        test(file).await;
        test(Cluster::with_lease("0", Some("ssh-0"), "ssh-1").register()).await;
    }

    #[tokio::test]
    async fn a_write_needs_the_version_that_is_there() {
        each(async |register| {
            let made = register.read().await.unwrap().unwrap();
            assert_eq!(made.value, state(0, Some("ssh-0")));
            let first = register.write(&made.version, state(1, Some("ssh-0"))).await.unwrap();
            let late = register.write(&made.version, state(9, Some("ssh-1"))).await.unwrap_err();
            assert!(matches!(&late, WriteError::Conflict { expected, .. } if *expected == made.version), "{late}");
            let second = register.write(&first, state(2, None)).await.unwrap();
            let held = Versioned { version: second, value: state(2, None) };
            assert_eq!(register.read().await.unwrap(), Some(held));
            for old in [first, Version::None] {
                let refused = register.write(&old, state(3, None)).await;
                assert!(matches!(refused, Err(WriteError::Conflict { .. })), "{refused:?}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn of_many_writers_exactly_one_wins_each_version() {
        each(async |register| {
            let writers: Vec<_> = (0..8)
                .map(|n| {
                    let register = register.clone();
                    tokio::spawn(async move {
                        let mut won = 0;
                        for _ in 0..20 {
                            let at = register.read().await.unwrap().unwrap().version;
                            won += u64::from(register.write(&at, state(n, Some("ssh-0"))).await.is_ok());
                        }
                        won
                    })
                })
                .collect();
            let mut won = 0;
            for writer in writers {
                won += writer.await.unwrap();
            }
            let writes = match register.read().await.unwrap().unwrap().version {
                // The first write made it.
                Version::File(writes) => writes - 1,
                Version::Lease(version) => version.parse::<u64>().unwrap() - 1,
                Version::None => unreachable!(),
            };
            assert_eq!(writes, won);
            assert!(won >= 20);
        })
        .await;
    }

    #[tokio::test]
    async fn every_opening_takes_a_new_generation() {
        each(async |register| {
            let mut last = Version::None;
            for generation in 1..=3 {
                let taken = register.take_generation(&name("ssh-0"), &disk("one")).await.unwrap();
                let disks = [(name("ssh-0"), disk("one"))].into();
                assert_eq!(taken.value, State { disks, ..state(generation, Some("ssh-0")) });
                assert_eq!(register.read().await.unwrap().unwrap(), taken);
                last = taken.version;
            }
            let refused = register.take_generation(&name("ssh-1"), &disk("two")).await.unwrap_err();
            let sentence = "the register names ssh-0 as master of generation 3; only it may open the log";
            assert_eq!(refused.to_string(), sentence);
            let emptied = register.take_generation(&name("ssh-0"), &disk("other")).await.unwrap_err();
            assert!(matches!(emptied, TakeError::OtherDisk { .. }), "{emptied}");
            register.write(&last, state(4, None)).await.unwrap();
            let frozen = register.take_generation(&name("ssh-0"), &disk("one")).await;
            assert!(matches!(frozen, Err(TakeError::Frozen(Generation(4)))), "{frozen:?}");
        })
        .await;
    }

    /// Freeze, name, open: what stands in the register on the way, wherever it is.
    #[tokio::test]
    async fn a_promotion_passes_through_the_register_whole() {
        each(async |register| {
            let members = [(name("ssh-1"), disk("two")), (name("ssh-2"), disk("three"))].into();
            let opened = register.take_generation(&name("ssh-0"), &disk("one")).await.unwrap();
            let reign = opened.value.with_set(&members);
            let version = register.write(&opened.version, reign.clone()).await.unwrap();
            let frozen = reign.frozen();
            assert_eq!((frozen.generation, &frozen.master), (Generation(2), &None));
            assert_eq!(frozen.previous, Some(name("ssh-0")));
            assert!(frozen.means(&name("ssh-0"), &disk("one")), "it may be named again");
            let version = register.write(&version, frozen.clone()).await.unwrap();
            let named = frozen.naming(&name("ssh-1"));
            assert_eq!(named.in_sync, BTreeSet::from([name("ssh-2")]));
            assert!(!named.means(&name("ssh-0"), &disk("one")), "the old master is a newcomer to the set");
            register.write(&version, named.clone()).await.unwrap();
            assert_eq!(register.read().await.unwrap().unwrap().value, named);
            let taken = register.take_generation(&name("ssh-1"), &disk("two")).await.unwrap();
            assert_eq!(taken.value, State { generation: Generation(3), ..named });
        })
        .await;
    }
}
