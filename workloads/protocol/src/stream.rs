//! Messages of the replication stream: one full-duplex HTTP/2 exchange (`POST /v1/follow`) in which the master sends
//! what it has and the follower says how far it is. Each is CBOR behind its length (32 bits, big-endian). All of them
//! state levels, never differences, so that any may be lost with its connection or said twice.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{CreationId, DiskId, Entry, Generation, InstanceName, LogName, MAX_RECORD_BYTES, Offset, Timestamp};

/// A longer message ends the connection.
pub const MAX_MESSAGE_BYTES: usize = MAX_RECORD_BYTES + 64 * 1024;

/// The master says at least this often that it lives.
pub const HEARTBEAT_MILLISECONDS: u64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
pub enum FollowerKind {
    /// Stores both logs before they are committed, and acknowledges with `Stored`.
    #[n(0)]
    Standby,
    /// Receives what is committed, and acknowledges with `Progress`.
    #[n(1)]
    Mirror,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromFollower {
    /// First message. The two offsets are the first ones wanted; the generations are those of the entries before them
    /// (a standby's; 0 where it has none), by which the master finds where two logs fork.
    #[n(0)]
    Hello {
        #[n(0)]
        name: InstanceName,
        #[n(1)]
        kind: FollowerKind,
        #[n(2)]
        replication_from: Offset,
        #[n(3)]
        replication_generation: Generation,
        #[n(4)]
        publication_from: Offset,
        #[n(5)]
        publication_generation: Generation,
        /// Where clients reach it over HTTP; mirrors only.
        #[n(6)]
        url: Option<String>,
        /// Where peers reach it; mirrors only.
        #[n(7)]
        peer: Option<String>,
        /// Disk that it has; standbys only.
        #[n(8)]
        disk: Option<DiskId>,
    },
    /// Every entry of this log up to this offset, and every blob that it names, is on disk (fsync) here.
    #[n(1)]
    Stored {
        #[n(0)]
        log: LogName,
        #[n(1)]
        through: Offset,
    },
    #[n(2)]
    Progress(#[n(0)] Progress),
    /// A mirror takes replication entries up to here now. Those of the publication log are always taken: they make
    /// room for the others, so they must not wait behind them.
    #[n(3)]
    Window {
        #[n(0)]
        replication_through: Offset,
    },
    /// A standby is about to end in order: commits need not wait until it is missed. It acknowledges meanwhile.
    #[n(4)]
    Leaving,
}

/// How many replication entries may be on their way to a mirror.
pub const WINDOW_ENTRIES: u64 = 256;

/// How far one instance's lanes are. A record of a repository is applied here when its offset is at most
/// `applied_through`, or at most that repository's `applied`; the same for shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Progress {
    #[n(0)]
    pub applied_through: Offset,
    #[n(1)]
    pub shown_through: Offset,
    /// Only the repositories that are ahead of the two marks, or quarantined.
    #[n(2)]
    pub lanes: Vec<LaneProgress>,
    /// Everything up to here survives a power loss: the master may trim its logs below it.
    #[n(3)]
    pub replication_checkpoint: Offset,
    #[n(4)]
    pub publication_checkpoint: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LaneProgress {
    #[n(0)]
    pub repository: CreationId,
    #[n(1)]
    pub applied: Offset,
    #[n(2)]
    pub shown: Offset,
    /// Set aside: it neither counts for release nor for publication here.
    #[n(3)]
    pub quarantined: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromMaster {
    /// Answer to `Hello`.
    #[n(0)]
    Welcome {
        #[n(0)]
        master: InstanceName,
        #[n(1)]
        generation: Generation,
        /// Committed ends of both logs now.
        #[n(2)]
        replication_committed: Offset,
        #[n(3)]
        publication_committed: Offset,
        /// A standby drops its entries from these offsets on (where the logs fork) and says `Hello` again before it
        /// stores anything: one answer may not reach the fork.
        #[n(4)]
        replication_truncate: Option<Offset>,
        #[n(5)]
        publication_truncate: Option<Offset>,
        /// The follower is a mirror that release waits for now; later changes are in the publication log.
        #[n(6)]
        active: bool,
    },
    /// The wanted offset is no longer (or not yet) in the log: take a snapshot from a peer, then ask again.
    #[n(1)]
    OutOfRange {
        #[n(0)]
        log: LogName,
        #[n(1)]
        start: Offset,
        #[n(2)]
        end: Offset,
    },
    #[n(2)]
    Entry {
        #[n(0)]
        log: LogName,
        #[n(1)]
        entry: Entry,
    },
    /// Everything up to here is final. Mirrors receive only such entries, standbys wait for this before they apply.
    #[n(3)]
    Committed {
        #[n(0)]
        log: LogName,
        #[n(1)]
        through: Offset,
    },
    #[n(4)]
    Heartbeat {
        #[n(0)]
        generation: Generation,
        #[n(1)]
        time: Timestamp,
        /// Where each log starts here: a standby needs nothing older either.
        #[n(2)]
        replication_start: Offset,
        #[n(3)]
        publication_start: Offset,
    },
}
