//! Failover: who writes next. The decisions of a promotion ([`mod@decide`], made by the operator or by all-in-one's
//! supervisor) and of the in-sync set ([`keeper`], made by the master). Both are pure: time, the register and what
//! instances say are values. [`driver`] asks and writes.
//!
//! What holds, whoever decides and however often: a record that the old master told anybody of is on every member of
//! the in-sync set; a sealed member stores nothing more for an older generation; only a member whose disk is the one
//! that the register means is named. So one sealed member is proof that nothing can be acknowledged any more that it
//! does not have.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod decide;
pub mod driver;
pub mod keeper;
mod lease;
mod lost;
mod report;
pub mod requirement;

pub use decide::{Memory, Observed, Policy, Proof, Step, Wish, decide};
pub use keeper::Keeper;
pub use lease::{LeaseTimes, Renewals};
pub use lost::{Lost, Missing, remake};
pub use report::{Drained, InstanceReport, LogEnd};
pub use requirement::Requirement;
