//! Register: who writes, and whose disk is this. ({generation, master, in-sync set}, changed by conditional writes
//! only; a file in all-in-one, a Lease on Kubernetes) and the instance that a data directory belongs to.
//!
//! [`instance`] blocks (file locks and fsync): call it at start.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod durable;
mod error;
mod file;
pub mod instance;
mod lease;
mod private;
mod register;
mod seal;
mod state;

pub use error::{ReadError, TakeError, WriteError};
pub use file::FileRegister;
pub use lease::{DISKS, GENERATION, IN_SYNC, LeaseRegister, POD, PREVIOUS_HOLDER, PROMOTION, of_lease, to_lease};
pub use register::Register;
pub use seal::{Seal, SealError};
pub use state::{Made, Promotion, State, Version, Versioned};
