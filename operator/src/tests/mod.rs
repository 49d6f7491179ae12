//! What the tests of several modules share.

mod reasons;
pub mod snapshots;
