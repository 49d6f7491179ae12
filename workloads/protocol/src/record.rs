//! The records of the two logs. Kinds are closed: a reader that meets another one parks the repository it names.
//!
//! Bytes of a record: kind (1), version (1), then CBOR (RFC 8949) with the field numbers below. Golden files in
//! `workloads/protocol/golden/` hold every kind; a field is only ever added, with the next number and optional.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    ChangesetId, CreationId, InstanceName, MasterSettings, Offset, Push, RepositoryFormat, RepositoryPath,
    RepositorySettings, Timestamp, UserName,
};

/// A record longer than this is refused by writers and taken as damage by readers.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("a record has at least 2 bytes, this one has {0}")]
    Short(usize),
    #[error("a record of kind {kind} does not hold what that kind must: {why}")]
    Body { kind: u8, why: String },
}

/// A record of a kind or version that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRecord {
    pub kind: u8,
    pub version: u8,
    /// The repository it concerns, by the convention that field 0 is its creation id in every kind from 2 to 127.
    pub repository: Option<CreationId>,
    pub bytes: Vec<u8>,
}

macro_rules! records {
    ($($(#[$doc:meta])* $code:literal => $name:ident($body:ty)),+ $(,)?) => {
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Record {
            $($(#[$doc])* $name($body),)+
            Unknown(UnknownRecord),
        }

        impl Record {
            /// Every kind's first byte and name; each has golden files.
            pub const KINDS: &[(u8, &str)] = &[$(($code, stringify!($name))),+];

            /// The kind's name, for logs, metrics and `hgd log dump`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Record::$name(_) => stringify!($name),)+
                    Record::Unknown(_) => "Unknown",
                }
            }

            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Record::$name(body) => {
                        let mut bytes = vec![$code, VERSION];
                        // Writing to a Vec cannot fail.
                        let _ = minicbor::encode(body, &mut bytes);
                        bytes
                    })+
                    Record::Unknown(unknown) => unknown.bytes.clone(),
                }
            }

            pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
                let [kind, version, body @ ..] = bytes else { return Err(DecodeError::Short(bytes.len())) };
                match (*kind, *version) {
                    $(($code, VERSION) => minicbor::decode(body)
                        .map(Record::$name)
                        .map_err(|why| DecodeError::Body { kind: *kind, why: why.to_string() }),)+
                    _ => Ok(Record::Unknown(unknown(*kind, *version, body, bytes))),
                }
            }
        }
    };
}

records! {
    /// First record of a master's reign.
    1 => GenerationStarted(GenerationStarted),
    /// A repository begins; its creation id is this record's offset.
    128 => RepositoryCreated(RepositoryCreated),
    2 => RepositoryUpdated(RepositoryUpdated),
    3 => RepositoryDeleted(RepositoryDeleted),
    4 => Push(Push),
    5 => Strip(Strip),
    6 => CloneBundlesChanged(CloneBundlesChanged),
    /// A person gives up an earlier record of the repository, which nobody can apply.
    7 => Skip(Skip),
    /// Settings that hold for all repositories; no lane is concerned.
    129 => SettingsChanged(SettingsChanged),
    /// Second log: all active mirrors have applied these records of the first.
    192 => Released(Offsets),
    /// Second log: all active mirrors show these records of the first.
    193 => Published(Offsets),
    /// Second log: from here on release waits for this mirror.
    194 => MirrorActive(MirrorActive),
    195 => MirrorInactive(MirrorInactive),
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GenerationStarted {
    #[n(0)]
    pub master: InstanceName,
    #[n(1)]
    pub time: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RepositoryCreated {
    #[n(0)]
    pub path: RepositoryPath,
    #[n(1)]
    pub format: RepositoryFormat,
    #[n(2)]
    pub settings: RepositorySettings,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RepositoryUpdated {
    #[n(0)]
    pub repository: CreationId,
    #[n(1)]
    pub settings: RepositorySettings,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RepositoryDeleted {
    #[n(0)]
    pub repository: CreationId,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Strip {
    #[n(0)]
    pub repository: CreationId,
    /// These and their descendants go.
    #[n(1)]
    pub changesets: Vec<ChangesetId>,
    #[n(2)]
    pub user: UserName,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CloneBundlesChanged {
    #[n(0)]
    pub repository: CreationId,
    /// The lines of `clonebundles.manifest`.
    #[n(1)]
    pub manifest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Skip {
    #[n(0)]
    pub repository: CreationId,
    /// Offset of the record that is not applied.
    #[n(1)]
    pub offset: Offset,
    #[n(2)]
    pub user: UserName,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SettingsChanged {
    #[n(0)]
    pub settings: MasterSettings,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offsets {
    /// Offsets of the first log, ascending.
    #[n(0)]
    pub offsets: Vec<Offset>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MirrorActive {
    #[n(0)]
    pub mirror: InstanceName,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MirrorInactive {
    #[n(0)]
    pub mirror: InstanceName,
    #[n(1)]
    pub reason: InactiveReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
pub enum InactiveReason {
    #[n(0)]
    Lagging,
    #[n(1)]
    Unreachable,
    #[n(2)]
    Removed,
}

impl Record {
    /// The repository whose lane this record belongs to, given its own offset.
    pub fn repository(&self, offset: Offset) -> Option<CreationId> {
        match self {
            Record::RepositoryCreated(_) => Some(CreationId(offset.0)),
            Record::RepositoryUpdated(r) => Some(r.repository),
            Record::RepositoryDeleted(r) => Some(r.repository),
            Record::Push(r) => Some(r.repository),
            Record::Strip(r) => Some(r.repository),
            Record::CloneBundlesChanged(r) => Some(r.repository),
            Record::Skip(r) => Some(r.repository),
            Record::Unknown(r) => r.repository,
            Record::GenerationStarted(_)
            | Record::SettingsChanged(_)
            | Record::Released(_)
            | Record::Published(_)
            | Record::MirrorActive(_)
            | Record::MirrorInactive(_) => None,
        }
    }
}

fn unknown(kind: u8, version: u8, body: &[u8], bytes: &[u8]) -> UnknownRecord {
    let repository = if (2..128).contains(&kind) { first_field(body) } else { None };
    UnknownRecord { kind, version, repository, bytes: bytes.to_vec() }
}

fn first_field(body: &[u8]) -> Option<CreationId> {
    let mut decoder = minicbor::Decoder::new(body);
    decoder.array().ok()?;
    decoder.u64().ok().map(CreationId)
}
