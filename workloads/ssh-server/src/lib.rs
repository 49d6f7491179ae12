//! The SSH front: lets people in by public key, lets them run `hg -R REPOSITORY serve --stdio` and nothing else, and
//! carries the channel to a process that somebody else opens. There is no shell anywhere.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod access;
mod authorized_keys;
mod carry;
mod channel;
pub mod command;
mod connection;
mod crowd;
mod directory;
mod hg;
mod host_keys;
mod limits;
mod metrics;
mod seats;
mod serve;
mod session;
mod texts;
mod wire;
mod words;

pub use authorized_keys::{AuthorizedKeys, Groups, KeysError};
pub use directory::{Account, Directory};
pub use hg::{Ended, Hg, Identity, Open, OpenRefused, OpenRequest};
pub use host_keys::{
    HOST_KEY_FILES, HostKeys, HostKeysError, fingerprint, generate_host_keys, load_or_generate, make_user_key,
};
pub use limits::Limits;
pub use metrics::Metrics;
pub use serve::{Options, serve};

/// Answers whether a file that could not be read for this reason stays so until somebody has changed something: a full
/// disk or a device that fails may be well at the next start.
fn is_lasting(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{
        InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    matches!(
        error.kind(),
        InvalidData | IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem
    )
}
