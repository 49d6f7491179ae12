//! Waiting for a level.

use std::time::{Duration, Instant};

/// What anything in a scenario may take at most; two busy cores are slow.
pub const DEADLINE: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is there; panics with `what` and the last complaint at the deadline.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) if Instant::now() > end => panic!("{what}: not within {DEADLINE:?}: {why}"),
            Err(_) => std::thread::park_timeout(PAUSE),
        }
    }
}
