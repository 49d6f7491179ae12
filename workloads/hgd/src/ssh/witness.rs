//! The volume's own word for commits. Where all instances have one volume, no standby acknowledges; instead, after
//! each fsync, the seal on the volume is read anew. A newer master raises it before it opens the logs: as long as it
//! is not raised, all that was on disk before is found by whoever comes next. To the log, the volume is a member of
//! the in-sync set, and commits need it as any other.

use std::path::PathBuf;
use std::time::Duration;

use log::Log;
use protocol::{DiskId, Generation, Offset};
use register::{Seal, SealError};

use super::tenure::Tenure;

/// A volume that cannot be read is tried again; nothing is acknowledged meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

pub struct Witness {
    pub log: Log,
    pub generation: Generation,
    /// Disk of the volume.
    pub disk: DiskId,
    pub data: PathBuf,
    pub tenure: Tenure,
}

impl Witness {
    /// Ends when the volume is sealed against this generation, with the one that it is sealed with.
    pub async fn run(self) -> Generation {
        let mut view = self.log.watch();
        let mut told = Offset::ZERO;
        loop {
            let durable = view.borrow_and_update().durable;
            if durable <= told {
                if view.changed().await.is_err() {
                    // The log is closed; the process ends.
                    return std::future::pending().await;
                }
                continue;
            }
            self.tenure.held().await;
            match self.sealed().await {
                Ok(sealed) if sealed > self.generation => return sealed,
                Ok(_) if self.tenure.holds() => {
                    self.log.acknowledge(self.generation, self.disk.clone(), durable).await;
                    told = durable;
                }
                // It was over before the volume answered.
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "nothing is acknowledged until the seal can be read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn sealed(&self) -> Result<Generation, SealError> {
        let data = self.data.clone();
        let read = tokio::task::spawn_blocking(move || Seal::on_disk(&data)).await;
        read.unwrap_or_else(|error| {
            Err(SealError::Io { path: self.data.clone(), source: std::io::Error::other(error) })
        })
    }
}

#[cfg(test)]
mod tests {
    use log::{Level, Retention};
    use protocol::record::GenerationStarted;
    use protocol::{LogName, Record, Timestamp};

    use super::super::tenure::boot_time;
    use super::*;

    const OURS: Generation = Generation(7);

    struct World {
        folder: tempfile::TempDir,
        tenure: Tenure,
        log: Log,
    }

    impl World {
        /// A log that is led in generation 7 on a volume that is sealed so.
        async fn new() -> World {
            let folder = tempfile::tempdir().unwrap();
            let settings = config::SharedVolume {
                run_directory: PathBuf::new(),
                lease_seconds: 15,
                renew_deadline_seconds: 10,
                retry_period_seconds: 2,
            };
            let tenure = Tenure::new(&settings);
            let options = log::Options {
                directory: folder.path().join("log"),
                name: LogName::Replication,
                segment_bytes: log::DEFAULT_SEGMENT_BYTES,
                retention: Retention { age: Duration::from_secs(3600), bytes: 1 << 30 },
            };
            let asked = tenure.clone();
            let log = Log::open_shared(options, Box::new(move || asked.holds())).unwrap();
            log.lead(OURS, [disk()].into()).await.unwrap();
            let world = World { folder, tenure, log };
            world.seal(OURS).await;
            world
        }

        async fn seal(&self, generation: Generation) {
            Seal::open(self.folder.path()).unwrap().raise(generation).await.unwrap();
        }

        fn witness(&self) -> tokio::task::JoinHandle<Generation> {
            let witness = Witness {
                log: self.log.clone(),
                generation: OURS,
                disk: disk(),
                data: self.folder.path().to_owned(),
                tenure: self.tenure.clone(),
            };
            tokio::spawn(witness.run())
        }

        /// One record, until it is on disk.
        async fn append(&self) -> Result<Offset, log::AppendError> {
            let master = "ssh-0".parse().unwrap();
            let time = Timestamp::from_system(std::time::UNIX_EPOCH);
            let record = Record::GenerationStarted(GenerationStarted { master, time });
            let offset = self.log.append(OURS, &record).await?;
            self.log.watch().wait_for(|view| view.durable >= offset).await.unwrap();
            Ok(offset)
        }
    }

    fn disk() -> DiskId {
        "volume".parse().unwrap()
    }

    #[tokio::test]
    async fn what_is_on_disk_is_acknowledged_while_nobody_else_has_opened_the_volume() {
        let world = World::new().await;
        world.tenure.renewed(boot_time());
        let _witness = world.witness();
        let offset = world.append().await.unwrap();
        world.log.watch().wait_for(|view| view.committed >= offset).await.unwrap();
        let mut entries = world.log.subscribe(offset, Level::Committed);
        entries.next().await.unwrap();
    }

    #[tokio::test]
    async fn a_seal_that_is_raised_before_the_acknowledgement_ends_the_reign_without_it() {
        let world = World::new().await;
        world.tenure.renewed(boot_time());
        let offset = world.append().await.unwrap();
        world.seal(OURS.next()).await;
        let sealed = tokio::time::timeout(Duration::from_secs(10), world.witness()).await;
        assert_eq!(sealed.unwrap().unwrap(), OURS.next());
        assert!(world.log.positions().committed < offset);
    }

    #[tokio::test]
    async fn without_a_renewal_nothing_is_written_and_what_was_waits_for_one() {
        let world = World::new().await;
        assert!(matches!(world.append().await, Err(log::AppendError::Write(log::WriteFailure::NotNow))));
        world.tenure.renewed(boot_time());
        let offset = world.append().await.unwrap();
        // As if the process had stood still since.
        world.tenure.renewed(Duration::ZERO);
        let _witness = world.witness();
        let mut view = world.log.watch();
        let early = tokio::time::timeout(Duration::from_millis(100), view.wait_for(|view| view.committed >= offset));
        assert!(early.await.is_err());
        world.tenure.renewed(boot_time());
        world.log.watch().wait_for(|view| view.committed >= offset).await.unwrap();
    }
}
