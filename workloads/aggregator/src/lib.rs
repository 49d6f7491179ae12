//! Decides what mirrors may show and what counts as published, and writes that decision down as the publication log.
//! Pure: positions, connections and `now` (the time since some fixed start) go in, records to append come out.
//!
//! One core lives as long as one master's reign. It begins with a replay of both logs as far as they are kept; its own
//! batches come back to it as entries of the publication log, and only then they count. At most one batch is under
//! way.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backlog;
mod batch;
mod core;
mod lag;
mod leaving;
mod mirror;
mod publishing;
#[cfg(test)]
mod tests;
mod view;

use std::time::Duration;

use protocol::{CreationId, Offset, Record, Registry, RegistryError, Repository};

pub use crate::core::Core;
pub use publishing::Publishing;
pub use view::MirrorView;

#[derive(Clone, Debug)]
pub struct Options {
    /// A mirror further behind than one of these leaves the active set.
    pub max_lag_records: u64,
    pub max_lag: Duration,
    /// A mirror that is at most this far behind may become active.
    pub join_lag_records: u64,
    /// A mirror without a connection for this long leaves the active set.
    pub unreachable_after: Duration,
    /// The active set never shrinks below this because of lag or silence.
    pub min_active: usize,
    /// A balancer's report older than this proves nothing.
    pub max_report_age: Duration,
    /// No client's connection to a mirror is older; when one is out of rotation for this long, none is left.
    pub max_connection_age: Duration,
    /// Offsets in one batch.
    pub max_batch_offsets: usize,
    /// `MirrorActive` is said again when it is that many entries old, so that the log before it can be trimmed.
    pub refresh_after_entries: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_lag_records: 1_000,
            max_lag: Duration::from_secs(30),
            join_lag_records: 100,
            unreachable_after: Duration::from_secs(10),
            min_active: 1,
            max_report_age: Duration::from_secs(5),
            max_connection_age: Duration::from_secs(30),
            max_batch_offsets: 4_096,
            refresh_after_entries: 10_000,
        }
    }
}

/// Committed record, as far as the aggregator needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: Offset,
    /// None: no repository's, hence nothing to release.
    pub repository: Option<CreationId>,
    /// The repository's record before this one; zero: there is none.
    pub before: Offset,
    /// Mirrors have to do with it.
    pub public: bool,
    /// Mirrors do what comes after it in the repository only when it is shown.
    pub barrier: bool,
    /// The repository's last record.
    pub last: bool,
}

impl Committed {
    /// Folds a record into the registry, and tells of it. What the registry does not take counts for no repository.
    pub fn fold(registry: &mut Registry, offset: Offset, record: &Record) -> (Committed, Result<(), RegistryError>) {
        let id = record.repository(offset);
        let before = id.and_then(|id| registry.get(id)).cloned();
        let folded = registry.apply(offset, record);
        let after = id.and_then(|id| registry.get(id));
        (Committed::of(offset, record, before.as_ref(), after), folded)
    }

    /// `before` and `after`: the repository as the registry has it before and after the record.
    pub fn of(offset: Offset, record: &Record, before: Option<&Repository>, after: Option<&Repository>) -> Committed {
        let public = |repository: Option<&Repository>| repository.is_some_and(Repository::is_public);
        let repository = record.repository(offset).filter(|_| before.or(after).is_some());
        let last = matches!(record, Record::RepositoryDeleted(_));
        let withdrawn = public(before) && !public(after);
        Committed {
            offset,
            repository,
            before: before.map_or(Offset::ZERO, |repository| repository.last),
            public: public(before) || public(after),
            barrier: withdrawn || matches!(record, Record::Strip(_)),
            last,
        }
    }
}
