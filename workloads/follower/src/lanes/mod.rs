//! The ordered work of each repository on one instance, decided without I/O: committed records, releases, outcomes and
//! `now` go in, actions come out. `now` is the time since some fixed start.
//!
//! A lane never has more than one action in flight, so records of one repository are applied and shown in log order;
//! lanes do not wait for each other. The repository's own state (what `Action::Open` reads) tells what has been done
//! before, hence every action may be repeated after a crash.

mod backoff;
mod checkpoint;
mod inputs;
mod lane;
mod marks;
mod outcomes;
mod publication;
mod queues;
mod readiness;
mod replay;
mod steps;
#[cfg(test)]
mod tests;
mod view;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::{ChangesetId, CreationId, InstanceName, Offset, Push, Record, Registry, RepositoryFormat};
use protocol::{RepositoryPath, RepositorySettings};

pub use checkpoint::Checkpoint;
pub use view::{Hidden, LaneView};

/// Mode: which kind of instance the lanes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An SSH instance: a record is shown as it is applied; private repositories exist.
    Direct,
    /// A mirror: a record is applied hidden and shown when it is released; private repositories do not exist.
    TwoStep,
}

/// Where the state that the lanes begin with comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This instance's own checkpoint: a repository that is behind it is damaged, and release does not wait for it.
    Checkpoint,
    /// A peer's snapshot: this instance is a newcomer, and counts as behind until it has fetched every repository.
    Snapshot,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub mode: Mode,
    /// This instance's name in `MirrorActive` and `MirrorInactive`.
    pub name: InstanceName,
    /// Actions at a time, over all repositories.
    pub max_in_flight: usize,
    pub retry_first: Duration,
    pub retry_max: Duration,
    /// That many failures in a row, and the lane is set aside and fetched again from a peer.
    pub attempts_before_quarantine: u32,
    /// Records of one lane that makes no progress; beyond it they are dropped and fetched with a snapshot later.
    pub max_stuck_records: usize,
    pub max_stuck_bytes: usize,
    /// Records of all lanes that wait here; beyond it the stream waits.
    pub max_pending_records: usize,
    pub max_pending_bytes: usize,
    /// Records received after the oldest that is not shown; beyond it the stream waits.
    pub max_unsettled_records: usize,
}

impl Options {
    pub fn new(mode: Mode, name: InstanceName) -> Options {
        Options {
            mode,
            name,
            max_in_flight: 8,
            retry_first: Duration::from_millis(50),
            retry_max: Duration::from_secs(30),
            attempts_before_quarantine: 5,
            max_stuck_records: 2_000,
            max_stuck_bytes: 16 * 1024 * 1024,
            max_pending_records: 20_000,
            max_pending_bytes: 128 * 1024 * 1024,
            max_unsettled_records: 200_000,
        }
    }
}

/// Names one action until its outcome is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub ticket: Ticket,
    pub repository: CreationId,
    pub kind: ActionKind,
}

/// Kind of what is to be done with one repository. All are idempotent by offset; `Outcome::Done` tells the state
/// afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// First touch since the start: break the locks of an earlier life (nobody else is at work here yet), read the
    /// state.
    Open,
    /// Make the repository; `hidden`: it is applied but not shown.
    Init {
        offset: Offset,
        path: RepositoryPath,
        format: RepositoryFormat,
        settings: Arc<RepositorySettings>,
        hidden: bool,
    },
    /// Write the settings; applied and shown.
    Configure { offset: Offset, path: RepositoryPath, settings: Arc<RepositorySettings> },
    /// Store the push; `hidden`: show nothing of it yet.
    Apply { offset: Offset, push: Arc<Push>, hidden: bool },
    /// Show an applied push. Its bundle is no longer there, its markers are.
    Show { offset: Offset, push: Arc<Push> },
    /// Show a repository that was made hidden, or pass over a record that was given up (`skip` with `hidden` false).
    Reveal { offset: Offset },
    /// Write `clonebundles.manifest`, then move the state to the offset; applied and shown.
    Advertise { offset: Offset, manifest: Arc<str> },
    /// The lane is no longer routable, as `Lanes::lane` says, or the record was given up; note it in the repository
    /// (`skip` with `hidden` true).
    Hide { offset: Offset },
    /// Remove these changesets and their descendants; applied and shown.
    Strip { offset: Offset, changesets: Arc<[ChangesetId]> },
    /// Remove the repository's folder; done too when it is not there. The facts of the outcome are ignored.
    Remove { offset: Offset },
    /// Roll back an abandoned transaction and remove stale locks (all of them with `break_locks`), then read the
    /// state.
    Recover { break_locks: bool },
    /// Replace the repository by a peer's copy that has applied and shown at least this much. An SSH instance takes
    /// any copy in which nothing is hidden (another SSH instance's is best), since its own log has the rest.
    /// `alone`: an SSH instance has asked often enough, and may take what a power loss has left here, if it is whole.
    Resync { applied: Offset, shown: Offset, alone: bool },
    /// SSH instances only: hand over the repository's records after this offset from the own log, with
    /// `Lanes::replayed` instead of `finished`; `Missing` when the log begins later. With `fresh` the repository's
    /// folder is removed first: no peer has a copy, and the log is the truth.
    Replay { after: Offset, fresh: bool },
}

/// Facts of a lane: what a repository's own state says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneFacts {
    pub applied: Offset,
    pub shown: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(LaneFacts),
    Retry(RetryKind),
    /// Something that a resync mends.
    Corrupt,
    /// There is no such repository here (or, for `Resync`, at any peer).
    Missing,
    /// No space: waits and tries again for ever, since quarantine would not help.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryKind {
    /// Somebody holds the repository's lock.
    Locked,
    /// Anything else, also a worker that died and a peer that does not have enough yet.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the next entry of the log is {expected}, not {got}: ask the master for it again")]
pub struct Gap {
    pub expected: Offset,
    pub got: Offset,
}

/// The lanes of one instance. See the module's words.
pub struct Lanes {
    options: Options,
    origin: Origin,
    /// Everything received, folded.
    registry: Registry,
    /// Folded up to the newest checkpoint; `unsettled` holds what comes after it, without payloads.
    settled: Registry,
    unsettled: VecDeque<(Offset, Record)>,
    received: Offset,
    lanes: BTreeMap<CreationId, lane::Lane>,
    marks: marks::Marks,
    queues: queues::Queues,
    releases: publication::Releases,
    readiness: readiness::Readiness,
    pending_records: usize,
    pending_bytes: usize,
    /// Repositories of the start that were not looked at yet.
    to_open: usize,
    /// Lanes that others may have to be told of.
    touched: BTreeSet<CreationId>,
}
