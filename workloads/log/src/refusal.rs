//! Why the log says no.

use std::sync::Arc;

use protocol::{Generation, MAX_RECORD_BYTES, Offset};

/// Why a write did not take place. The file is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteFailure {
    #[error("the log's volume is full: {0}")]
    Full(Arc<str>),
    #[error("the log's volume refused a write: {0}")]
    Storage(Arc<str>),
    #[error("replication log not available; all writes disabled")]
    NotNow,
}

/// An append that did not succeed: nothing of it is in the log, except after `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("generation {expected} was to be appended, but generation {ours} writes this log now")]
    Fenced { expected: Generation, ours: Generation },
    #[error("this instance does not write this log")]
    NotLeading,
    #[error("a record (or all records of one append) of {0} bytes is longer than the allowed {MAX_RECORD_BYTES}")]
    TooLarge(usize),
    #[error(transparent)]
    Write(#[from] WriteFailure),
    #[error("the log has stopped and this process must end: {0}")]
    Stopped(Arc<str>),
    #[error("the log has stopped while the record was written, which may be in it; this process must end: {0}")]
    Unknown(Arc<str>),
}

/// A refused change of the log other than an append: nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error(
        "generation {asked} cannot begin: the log already holds generation {last}, and each opening needs a new one"
    )]
    OldGeneration { asked: Generation, last: Generation },
    #[error("generation {asked} does not write this log now")]
    NotLeading { asked: Generation },
    #[error("generation {0} writes this log here; only a log that follows another can be changed like this")]
    Leading(Generation),
    #[error("an in-sync set of {members} instances is larger than the allowed {limit}")]
    TooManyMembers { members: usize, limit: usize },
    #[error("record {found} cannot follow record {end}: records are stored without gaps")]
    Gap { end: Offset, found: Offset },
    #[error("record {offset} has generation {found}, older than its predecessor's {last}")]
    Backwards { offset: Offset, found: Generation, last: Generation },
    #[error("record {offset} is here with another generation: the logs fork and this one must be truncated first")]
    Forked { offset: Offset },
    #[error("record {offset} has {bytes} bytes, more than the allowed {MAX_RECORD_BYTES}")]
    TooLarge { offset: Offset, bytes: usize },
    #[error("records from {from} on cannot be dropped: everything up to {committed} is committed")]
    Committed { from: Offset, committed: Offset },
    #[error("the log cannot be cut at {from}: it starts at {start}")]
    BelowStart { from: Offset, start: Offset },
    #[error(transparent)]
    Write(#[from] WriteFailure),
    #[error("the log has stopped and this process must end: {0}")]
    Stopped(Arc<str>),
}
