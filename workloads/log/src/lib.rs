//! The embedded log: segment files on the instance's own disk, written by one thread with group fsync, read by
//! subscriptions; the store of blobs that records name; and what `hgd log` needs to look at both.
//!
//! [`core`] decides and does nothing; `storage` does and decides nothing; `engine` puts them together.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod blobs;
pub mod core;
mod engine;
mod generations;
mod index;
pub mod inspect;
mod log;
mod open_error;
mod refusal;
pub mod retention;
pub mod scan;
pub mod segment;
mod storage;
mod subscription;
mod tail;

pub use blobs::Blobs;
pub use core::{Cut, View};
pub use engine::MayWrite;
pub use generations::Generations;
pub use log::{DEFAULT_SEGMENT_BYTES, Hold, Log, Options, Positions, Unknown};
pub use open_error::OpenError;
pub use refusal::{AppendError, LogError, WriteFailure};
pub use retention::Retention;
pub use storage::Statistics;
pub use subscription::{Event, Level, SubscribeError, Subscription};
