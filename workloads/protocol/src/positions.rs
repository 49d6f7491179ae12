//! Numbers that place things: in the log, in time, in a master's reign.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
        )]
        #[cbor(transparent)]
        #[serde(transparent)]
        pub struct $name(#[n(0)] pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The place of a record in one log. The first record is 1; 0 means "before the first".
    Offset
}

number! {
    /// The number of a master's reign; grows by one at each opening of the log for writing. 0 means "none yet".
    Generation
}

number! {
    /// The number of a push in one repository's pushlog, from 1, never reused.
    PushId
}

number! {
    /// Names one life of a repository: the offset of its `RepositoryCreated` record. A path that is created again has
    /// another, so nothing stored for the old life can be mistaken for the new one.
    CreationId
}

number! {
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp
}

impl Offset {
    pub const ZERO: Offset = Offset(0);

    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }

    pub fn previous(self) -> Offset {
        Offset(self.0.saturating_sub(1))
    }
}

impl Generation {
    pub fn next(self) -> Generation {
        Generation(self.0 + 1)
    }
}

impl CreationId {
    /// The name of the repository's folder on every instance: 16 hexadecimal digits.
    pub fn directory(self) -> String {
        format!("{:016x}", self.0)
    }
}

impl Timestamp {
    pub fn from_system(time: std::time::SystemTime) -> Timestamp {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }
}
