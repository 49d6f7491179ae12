//! A real Kubernetes with our chart and the quickstart on it, from `tests/kubernetes`, and real hg in front of it.
//! Everything waits for levels with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod developer;
mod reader;
mod testbed;
mod view;

pub use developer::Developer;
pub use reader::{Reader, Seen};
pub use testbed::{Blocked, Cluster, Frozen};
pub use view::{Condition, Pod};

use std::time::Duration;

/// What one change in a cluster may take at most: two busy cores run all of it.
pub const LIMIT: Duration = Duration::from_secs(180);
