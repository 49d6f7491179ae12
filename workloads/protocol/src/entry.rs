//! One place of a log with what stands there.

use minicbor::{Decode, Encode};

use crate::{DecodeError, Generation, Offset, Record};

/// The two logs of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum LogName {
    /// The first log: what happened.
    #[n(0)]
    Replication,
    /// The second log: what mirrors may show.
    #[n(1)]
    Publication,
}

impl LogName {
    pub const ALL: [LogName; 2] = [LogName::Replication, LogName::Publication];

    /// Folder below an instance's data directory.
    pub fn directory(self) -> &'static str {
        match self {
            LogName::Replication => "replication",
            LogName::Publication => "publication",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    #[n(0)]
    pub offset: Offset,
    #[n(1)]
    pub generation: Generation,
    /// A record as [`Record::encode`] writes it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

impl Entry {
    pub fn record(&self) -> Result<Record, DecodeError> {
        Record::decode(&self.bytes)
    }
}
