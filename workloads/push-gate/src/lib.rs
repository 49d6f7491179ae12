//! The push gate: the only way for a transaction of a replicated repository to close on the master. Children of hg ask
//! it before they open one and append their record through it; the ledger behind it writes the replication log.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod ledger;
mod messages;
mod metrics;
pub mod proof;
mod server;
mod sessions;
mod values;

pub use ledger::{Ledger, LedgerError, WRITABLE_WAIT, Writable};
pub use metrics::GateMetrics;
pub use server::{Gate, listen, serve};
pub use sessions::{MayWrite, Registered, Sessions};
