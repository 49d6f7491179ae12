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

    /// Answers the records to append next, as [`Core::batch`]; None until the logs are known.
    pub fn batch(&mut self) -> Option<Vec<Record>> {
        if self.knows_the_logs() { self.core.batch() } else { None }
    }
}
