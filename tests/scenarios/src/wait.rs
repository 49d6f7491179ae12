//! Waiting for a level.

use std::time::{Duration, Instant};

/// Deadline of anything in a scenario; two busy cores are slow.
pub const DEADLINE: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is there; panics with `what` and the last complaint at the deadline.
#[track_caller]
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    wait_longer_for(DEADLINE, what, ask)
}

/// The same with a deadline of its own, for what is large.
#[track_caller]
pub fn wait_longer_for<T>(deadline: Duration, what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    match wait_at_most(deadline, ask) {
        Ok(answer) => answer,
        Err(why) => panic!("{what}: not within {deadline:?}: {why}"),
    }
}

/// The same; the last complaint at the deadline.
pub fn wait_at_most<T>(deadline: Duration, mut ask: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let end = Instant::now() + deadline;
    loop {
        match ask() {
            Err(_) if Instant::now() <= end => std::thread::park_timeout(PAUSE),
            result => return result,
        }
    }
}
