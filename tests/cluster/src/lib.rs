//! A real Kubernetes with our chart and the quickstart on it, from `tests/kubernetes`, and real hg in front of it.
//! Everything waits for levels with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod developer;
mod faults;
mod reader;
mod testbed;
mod view;
mod writer;

pub use developer::Developer;
pub use faults::{Blocked, Frozen, FrozenPod, NoApiServer, Unplugged};
pub use reader::{Reader, Seen};
pub use testbed::{Built, Cluster};
pub use view::{Condition, Pod};
pub use writer::{Stretch, Writer, Writing};

use std::time::{Duration, Instant};

/// Limit of what one change in a cluster may take: two busy cores run all of it.
pub const LIMIT: Duration = Duration::from_secs(180);
/// Asking costs a process, which is not to slow down what it asks about.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks until the answer is there.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) if Instant::now() > end => panic!("{what}: not within {LIMIT:?}: {why}"),
            Err(_) => std::thread::park_timeout(PAUSE),
        }
    }
}
