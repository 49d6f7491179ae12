//! HTTP front that readers of a mirror meet: it finds the repository in the registry, has Mercurial's workers answer,
//! and asks a peer for what this mirror does not have. It replicates nothing itself.
//!
//! A request is admitted (`admit`), somebody is found who answers it (`route`), and that one does (`answer`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod access;
mod admit;
mod answer;
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
mod places;
mod request_body;
mod route;
mod routes;
mod server;
mod timed_stream;
pub mod wire;

pub use completeness::{Completeness, MAX_QUESTIONS, Question};
pub use front::{Front, Limits, Scheme};
pub use metrics::FrontMetrics;
pub use peers::{HOP_HEADER, Peers};
pub use routes::{Route, Routes};
pub use server::serve;
