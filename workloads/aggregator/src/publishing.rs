//! Publishing: what one reign knows of both logs. It decides nothing before it has taken everything that was decided
//! in earlier reigns.

use std::time::Duration;

use protocol::{Entry, Generation, LogName, Offset, PerLog, Record, Registry, RegistryError};

use crate::{Committed, Core, Options};

pub struct Publishing {
    pub core: Core,
    /// The replication log, folded as far as the core has taken it.
    registry: Registry,
    generation: Generation,
    /// True when a record of this reign, which every master begins with one, and hence all before it has been taken.
    known: PerLog<bool>,
}

impl Publishing {
    /// `registry`: the replication log before its retained start, folded; `publication`: the last place before the
    /// publication log's.
    pub fn new(options: Options, registry: Registry, publication: Offset, generation: Generation) -> Publishing {
        let core = Core::new(options, registry.through(), publication, Duration::ZERO);
        Publishing { core, registry, generation, known: PerLog::default() }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Through: how much of each log has been taken.
    pub fn through(&self) -> PerLog<Offset> {
        self.core.position().into()
    }

    /// Takes the next committed entry of a log, which is that record. An error is of the record, which then counts for
    /// no repository.
    pub fn take(&mut self, log: LogName, entry: &Entry, record: &Record, now: Duration) -> Result<(), RegistryError> {
        self.known[log] |= entry.generation == self.generation;
        match log {
            LogName::Replication => {
                let (committed, folded) = Committed::fold(&mut self.registry, entry.offset, record);
                self.core.committed(committed, now);
                folded
            }
            LogName::Publication => {
                self.core.publication(entry.offset, record, now);
                Ok(())
            }
        }
    }

    /// Answers whether everything has been taken that was in the logs before this reign: it says what was decided
    /// already.
    pub fn knows_the_logs(&self) -> bool {
        self.known.all(|known| known)
    }

    /// Answers through where nobody needs the logs any more: mirrors, and the instances whose checkpoints of the
    /// replication log these are.
    pub fn done_with(&self, checkpoints: impl IntoIterator<Item = Offset>) -> PerLog<Offset> {
        let needed = self.core.retention();
        PerLog { replication: checkpoints.into_iter().fold(needed.replication, Ord::min), ..needed }
    }

    /// Answers the records to append next, as [`Core::batch`]; None until the logs are known.
    pub fn batch(&mut self) -> Option<Vec<Record>> {
        if self.knows_the_logs() { self.core.batch() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Timestamp;
    use protocol::record::GenerationStarted;

    use super::*;

    fn started(publishing: &mut Publishing, log: LogName, offset: u64, generation: u64) {
        let started = GenerationStarted { master: "ssh-0".parse().unwrap(), time: Timestamp(0) };
        let record = Record::GenerationStarted(started);
        let entry = Entry { offset: Offset(offset), generation: Generation(generation), bytes: record.encode() };
        publishing.take(log, &entry, &record, Duration::ZERO).unwrap();
    }

    #[test]
    fn nothing_is_decided_before_both_logs_are_known() {
        let mut publishing = Publishing::new(Options::default(), Registry::default(), Offset::ZERO, Generation(2));
        for (log, offset, generation, known) in [
            (LogName::Replication, 1, 1, false),
            (LogName::Publication, 1, 1, false),
            (LogName::Replication, 2, 2, false),
            (LogName::Publication, 2, 2, true),
        ] {
            started(&mut publishing, log, offset, generation);
            assert_eq!(publishing.knows_the_logs(), known, "{log:?} {offset}");
            assert!(known || publishing.batch().is_none());
        }
        assert_eq!(publishing.through(), PerLog::of(|_| Offset(2)));
        assert_eq!(publishing.done_with([Offset(7), Offset(1)]), PerLog::new(Offset(1), Offset(2)));
        assert_eq!(publishing.done_with([]), PerLog::of(|_| Offset(2)));
    }
}
