//! Messages into the core and out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::{DiskId, Entry, Generation, Offset};

use crate::generations::Generations;
use crate::refusal::{AppendError, LogError, WriteFailure};

/// Names a request; its answer carries the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How far a truncation may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Uncommitted,
    /// By a person's word only: whatever was applied from there on must be resynchronised.
    AlsoCommitted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Lead {
        ticket: Ticket,
        generation: Generation,
        in_sync: BTreeSet<DiskId>,
    },
    InSync {
        ticket: Ticket,
        generation: Generation,
        in_sync: BTreeSet<DiskId>,
    },
    Follow,
    Append {
        ticket: Ticket,
        generation: Generation,
        records: Vec<Vec<u8>>,
    },
    Store {
        ticket: Ticket,
        entries: Vec<Entry>,
    },
    Sync {
        ticket: Ticket,
    },
    Truncate {
        ticket: Ticket,
        from: Offset,
        cut: Cut,
    },
    Reset {
        ticket: Ticket,
        start: Offset,
        before: Generation,
    },
    Trim {
        ticket: Ticket,
        below: Offset,
    },
    /// A member said `Stored` to the master of this generation.
    Acknowledged {
        generation: Generation,
        member: DiskId,
        through: Offset,
    },
    /// The master said that everything up to here is committed.
    Announced {
        through: Offset,
    },
    /// Result of [`Command::Write`].
    Written(Result<(), WriteFailure>),
    /// Result of [`Command::Sync`].
    Synced,
    /// Result of [`Command::Truncate`] and [`Command::Reset`].
    Cut,
    /// Result of [`Command::Trim`]: the first record that is left.
    Trimmed {
        start: Offset,
    },
    /// Instead of any result: the files may not be what they should be. Never tried again.
    Failed {
        why: Arc<str>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// All or nothing, behind the last record. `durable` goes into the frames.
    Write {
        entries: Vec<Entry>,
        durable: Offset,
    },
    Sync,
    /// Durably drop this offset and everything behind it.
    Truncate {
        from: Offset,
    },
    /// Durably drop everything; the next record is `start`.
    Reset {
        start: Offset,
        before: Generation,
    },
    /// Drop whole segments of which every record is below.
    Trim {
        below: Offset,
    },
    Appended {
        ticket: Ticket,
        outcome: Result<Offset, AppendError>,
    },
    Answered {
        ticket: Ticket,
        outcome: Result<Offset, LogError>,
    },
}

/// View of the log for everybody else; published after each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub generations: Arc<Generations>,
    pub durable: Offset,
    pub committed: Offset,
    /// The generation that this instance writes.
    pub leading: Option<Generation>,
    /// While leading: how far each standby has stored, in the in-sync set or not.
    pub acknowledged: Arc<BTreeMap<DiskId, Offset>>,
    /// How often records were dropped from the end, and how often committed ones.
    pub truncations: u64,
    pub discards: u64,
    /// Why the last write did not take place; None: it did.
    pub refused: Option<WriteFailure>,
    pub stopped: Option<Arc<str>>,
}
