//! Who writes, and whose disk is this: the file register of all-in-one ({generation, master, in-sync set}, changed by
//! conditional writes only) and the instance that a data directory belongs to.
//!
//! Everything here blocks (file locks and fsync): call it at start, or from a blocking task.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod durable;
mod file;
pub mod instance;
mod state;

pub use file::{ReadError, Register, TakeError, WriteError};
pub use state::{State, Version, Versioned};
