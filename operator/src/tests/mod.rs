//! Shares things between the tests of several modules.

mod reasons;
pub mod snapshots;
