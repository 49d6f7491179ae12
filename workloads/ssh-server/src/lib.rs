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
