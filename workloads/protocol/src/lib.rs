//! The words our processes use with each other: names, positions, log records, stream messages and the repository
//! registry. Pure: no clock, file, socket or runtime, so that the simulation and every program share it.

mod entry;
mod hashes;
mod names;
mod positions;
mod push;
mod record;
mod registry;
mod settings;
pub mod status;
pub mod stream;

pub use entry::{Entry, LogName};
pub use hashes::{ChangesetId, Digest, ParseHashError};
pub use names::{InstanceName, NameError, RepositoryPath, UserName};
pub use positions::{CreationId, Generation, Offset, PushId, Timestamp};
pub use push::{BookmarkMove, MAX_INLINE_BYTES, Markers, Payload, Push};
pub use record::{DecodeError, MAX_RECORD_BYTES, Record, UnknownRecord};
pub use registry::{Registry, RegistryError, Repository};
pub use settings::{RepositoryFormat, RepositorySettings};
