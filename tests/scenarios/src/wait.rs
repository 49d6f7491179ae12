//! Waiting for a level.

use std::time::{Duration, Instant};

/// What anything in a scenario may take at most; two busy cores are slow.
pub const DEADLINE: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is there; panics with `what` and the last complaint at the deadline.
#[track_caller]
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    wait_longer_for(DEADLINE, what, ask)
}

/// The same with a deadline of its own, for what is large.
#[track_caller]
pub fn wait_longer_for<T>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + deadline;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) if Instant::now() > end => panic!("{what}: not within {deadline:?}: {why}"),
            Err(_) => std::thread::park_timeout(PAUSE),
        }
    }
}
