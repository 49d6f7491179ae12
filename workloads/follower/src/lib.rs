//! What one instance does with the records that it receives: `lanes` decides, without I/O.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod lanes;
