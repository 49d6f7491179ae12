//! The words our processes use with each other: names, positions, log records, stream messages and the repository
//! registry. Pure: no clock, file, socket or runtime, so that the simulation and every program share it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod endpoints;
mod entry;
mod hashes;
mod names;
mod offset_set;
mod per_log;
mod positions;
pub mod proxy_line;
mod push;
pub mod record;
mod registry;
mod settings;
pub mod status;
pub mod stream;

pub use entry::{Entry, LogName};
pub use hashes::{ChangesetId, Digest, ParseHashError};
pub use names::{DiskId, InstanceName, MAX_PATH_BYTES, MAX_USER_BYTES, NameError, RepositoryPath, UserName};
pub use offset_set::OffsetSet;
pub use per_log::PerLog;
pub use positions::{CreationId, Generation, Offset, PushId, Timestamp};
pub use push::{BookmarkMove, MAX_INLINE_BYTES, Markers, Payload, Push};
pub use record::{DecodeError, MAX_RECORD_BYTES, Record, UnknownRecord};
pub use registry::{Pushed, Registry, RegistryError, Repository};
pub use settings::{MasterSettings, RepositoryFormat, RepositorySettings};
