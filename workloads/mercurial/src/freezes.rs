//! Freezes: who of Mercurial's processes has stopped and does not go on. Nobody else would see it for as long as that
//! lasts, and the repository that it works on waits meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::child::Child;
use crate::connection::{ConnectError, Connection};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// For the zygote to fork a child that says its number, which takes some milliseconds.
const ANSWER: Duration = Duration::from_millis(1_500);
/// Questions in a row without an answer after which a zygote that has stopped is taken for frozen. More than one:
/// after a pause of the whole machine the first may be late.
const UNANSWERED: u32 = 2;
/// The same of one that has not stopped: it may only be late, on a machine under load, and its sessions die with it.
const UNANSWERED_RUNNING: u32 = 5;
/// A child that has stopped for this long does not go on by itself.
const STOPPED: Duration = Duration::from_secs(3);

#[derive(Serialize)]
struct Ping {
    mode: &'static str,
}

/// Returns when the zygote does not answer any more. Until then children of it that have stopped are killed, upon
/// which their repositories are recovered as after any other death.
pub(crate) async fn zygote_hangs(socket: &Path, zygote: u32) {
    let (mut unanswered, mut stopped) = (0, Stopped::default());
    while unanswered < if is_stopped(zygote) { UNANSWERED } else { UNANSWERED_RUNNING } {
        if unanswered == 0 {
            sleep(EVERY).await;
        }
        unanswered = if answers(socket).await { 0 } else { unanswered + 1 };
        for pid in stopped.look(Instant::now(), children(zygote).filter(|pid| is_stopped(*pid)).collect()) {
            kill(pid);
        }
    }
}

/// Whatever is answered: somebody is there who does.
async fn answers(socket: &Path) -> bool {
    match timeout(ANSWER, Connection::open(socket, &Ping { mode: "ping" }, None)).await {
        // More wait for it than it may let wait, which a burst does too.
        Ok(Err(ConnectError::Connection(error))) if error.kind() == io::ErrorKind::WouldBlock => {
            sleep(ANSWER).await;
            false
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

#[derive(Default)]
struct Stopped(BTreeMap<u32, Instant>);

impl Stopped {
    /// Takes who is seen to have stopped now; answers who has for too long.
    fn look(&mut self, now: Instant, seen: BTreeSet<u32>) -> Vec<u32> {
        self.0.retain(|pid, _| seen.contains(pid));
        for pid in seen {
            self.0.entry(pid).or_insert(now);
        }
        let frozen = self.0.iter().filter(|(_, since)| now.duration_since(**since) >= STOPPED);
        frozen.map(|(pid, _)| *pid).collect()
    }
}

fn children(of: u32) -> impl Iterator<Item = u32> {
    let list = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>().into_iter()
}

/// By a signal. One that a debugger holds is in somebody's hands.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

fn kill(pid: u32) {
    // Held first and looked at again: its number may have become another's.
    if let Ok(child) = Child::hold(pid)
        && is_stopped(pid)
    {
        tracing::warn!(pid, seconds = STOPPED.as_secs(), "a Mercurial process has stopped and is killed");
        child.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_stopped_for_long_is_named_and_who_goes_on_is_forgotten() {
        let (begun, mut stopped) = (Instant::now(), Stopped::default());
        let mut at = |milliseconds, seen: &[u32]| {
            stopped.look(begun + Duration::from_millis(milliseconds), seen.iter().copied().collect())
        };
        assert!(at(0, &[1, 2]).is_empty());
        assert!(at(1_000, &[1, 2, 3]).is_empty());
        assert!(at(2_000, &[2, 3]).is_empty(), "1 goes on");
        assert_eq!(at(3_000, &[1, 2, 3]), [2]);
        assert_eq!(at(4_000, &[1, 3]), [3]);
        assert_eq!(at(6_000, &[1]), [1]);
    }
}
