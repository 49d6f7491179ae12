//! Interface: the internal HTTP API, once for those who ask and those who answer (docs/protocols.md). Its paths, what
//! is sent that belongs to nobody else, what a status means, and how the master is asked when nobody says who that is.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod ask;
mod messages;
pub mod paths;

pub use ask::{Ask, AskError, ask};
pub use messages::{ImportSource, ImportStage, ImportState, PeerAddress, Recorded, SkipRequest, StripRequest};

/// Name of whoever may ask everything: the supervisor of all-in-one, or the operator.
pub const SUPERVISOR: &str = "supervisor";
/// Sentence (status 503) of an instance that is not the master, when it is asked what only the master answers.
pub const NOT_THE_MASTER: &str = "this instance is not the master";
