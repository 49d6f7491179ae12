//! HTTP front that readers of a mirror meet: it finds the repository in the registry, has Mercurial's workers answer,
//! and asks a peer for what this mirror does not have. It replicates nothing itself. The admin pages that every
//! instance has are here too.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod access;
pub mod admin;
mod answers;
mod arguments;
mod body;
mod completeness;
mod forward;
mod front;
mod head_stream;
pub mod heads;
mod index;
mod metrics;
mod peers;
mod readiness;
mod request_body;
mod routes;
mod server;
mod timed_stream;
pub mod wire;

pub use completeness::{Completeness, MAX_QUESTIONS, Question};
pub use front::{Front, Limits, Scheme};
pub use metrics::FrontMetrics;
pub use peers::{HOP_HEADER, Peers};
pub use readiness::Readiness;
pub use routes::{Route, Routes};
pub use server::serve;
