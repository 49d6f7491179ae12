//! Decides what to look at next. Pure: time comes in as the time since this process's start.
//!
//! Every object is in the queue at most once and looked at by one worker at a time; one that fails waits longer each
//! time and delays nobody else.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// How a look at an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more until it is woken.
    Done,
    /// Look again after this time.
    Again(Duration),
    /// Look again, later each time.
    Failed,
}

#[derive(Debug, Default)]
struct Entry {
    /// When it is to be looked at; None while a worker has it, or while nothing is to be done.
    due: Option<Duration>,
    running: bool,
    /// Woken while a worker had it.
    woken: bool,
    failures: u32,
}

#[derive(Debug)]
pub struct Queue<K> {
    entries: HashMap<K, Entry>,
    order: BTreeSet<(Duration, K)>,
    running: usize,
    workers: usize,
}

impl<K: Clone + Ord + Hash> Queue<K> {
    pub fn new(workers: usize) -> Queue<K> {
        Queue { entries: HashMap::new(), order: BTreeSet::new(), running: 0, workers }
    }

    /// Something about it has changed.
    pub fn wake(&mut self, now: Duration, key: K) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.running {
            entry.woken = true;
        } else {
            // A failing object that is woken all the time would never wait.
            let due = if entry.failures > 0 { entry.due.unwrap_or(now) } else { now };
            self.schedule(key, due);
        }
    }

    /// Something that it waits for may be there now: also what failed is looked at again at once.
    pub fn retry(&mut self, now: Duration, key: K) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.failures = 0;
        }
        self.wake(now, key);
    }

    /// Answers what a free worker should look at now.
    pub fn next(&mut self, now: Duration) -> Option<K> {
        if self.running >= self.workers {
            return None;
        }
        let (due, _) = self.order.first()?;
        if *due > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        let entry = self.entries.entry(key.clone()).or_default();
        entry.due = None;
        entry.running = true;
        self.running += 1;
        Some(key)
    }

    /// When a free worker should ask again, if nothing happens before.
    pub fn next_due(&self) -> Option<Duration> {
        if self.running >= self.workers { None } else { self.order.first().map(|(due, _)| *due) }
    }

    /// `jitter`, from 0 to 1, spreads what failed together.
    pub fn finished(&mut self, now: Duration, key: &K, outcome: Outcome, jitter: f64) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.running) else { return };
        self.running -= 1;
        entry.running = false;
        let woken = std::mem::take(&mut entry.woken);
        let due = match outcome {
            Outcome::Failed => {
                let wait = FIRST_RETRY.saturating_mul(1 << entry.failures.min(16)).min(LAST_RETRY);
                entry.failures += 1;
                Some(now + wait.mul_f64(1.0 + jitter / 4.0))
            }
            Outcome::Done | Outcome::Again(_) if woken => Some(now),
            Outcome::Again(wait) => Some(now + wait),
            Outcome::Done => None,
        };
        if outcome != Outcome::Failed {
            entry.failures = 0;
        }
        match due {
            Some(due) => self.schedule(key.clone(), due),
            None => drop(self.entries.remove(key)),
        }
    }

    /// Waiting for a worker now.
    pub fn depth(&self, now: Duration) -> usize {
        self.order.iter().take_while(|(due, _)| *due <= now).count()
    }

    /// With a worker now.
    pub fn running(&self) -> usize {
        self.running
    }

    fn schedule(&mut self, key: K, due: Duration) {
        let entry = self.entries.entry(key.clone()).or_default();
        match entry.due {
            Some(earlier) if earlier <= due => return,
            Some(later) => drop(self.order.remove(&(later, key.clone()))),
            None => {}
        }
        entry.due = Some(due);
        self.order.insert((due, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn an_object_is_looked_at_by_one_worker_at_a_time_and_again_when_it_was_woken_meanwhile() {
        let mut queue = Queue::new(2);
        queue.wake(at(0), "a");
        queue.wake(at(0), "a");
        assert_eq!((queue.next(at(0)), queue.next(at(0))), (Some("a"), None));
        queue.wake(at(1), "a");
        assert_eq!(queue.next(at(1)), None);
        queue.finished(at(2), &"a", Outcome::Done, 0.0);
        assert_eq!((queue.next(at(2)), queue.next(at(2))), (Some("a"), None));
        queue.finished(at(3), &"a", Outcome::Done, 0.0);
        assert_eq!((queue.next(at(4)), queue.next_due()), (None, None));
    }

    #[test]
    fn what_fails_waits_longer_each_time_also_when_it_is_woken() {
        let mut queue = Queue::new(2);
        let mut now = at(0);
        queue.wake(now, "a");
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(queue.next(now), Some("a"));
            queue.wake(now, "a");
            queue.finished(now, &"a", Outcome::Failed, 0.0);
            queue.wake(now, "a");
            assert_eq!(queue.next(now), None);
            assert_eq!(queue.next_due(), Some(now + Duration::from_secs(wait)));
            now += Duration::from_secs(wait);
        }
        queue.wake(now, "b");
        queue.retry(now, "a");
        assert_eq!((queue.next(now), queue.next(now)), (Some("a"), Some("b")));
        queue.finished(now, &"a", Outcome::Done, 0.0);
        queue.wake(now, "a");
        assert_eq!(queue.next(now), Some("a"));
    }

    #[test]
    fn no_more_than_the_workers_run_and_an_earlier_time_wins() {
        let mut queue = Queue::new(1);
        queue.wake(at(0), "a");
        assert_eq!(queue.next(at(0)), Some("a"));
        queue.wake(at(0), "b");
        assert_eq!((queue.next(at(0)), queue.depth(at(0)), queue.next_due()), (None, 1, None));
        assert_eq!(queue.running(), 1);
        queue.finished(at(0), &"a", Outcome::Again(at(5000)), 0.0);
        assert_eq!(queue.next(at(0)), Some("b"));
        queue.finished(at(0), &"b", Outcome::Done, 0.0);
        assert_eq!(queue.next_due(), Some(at(5000)));
        queue.wake(at(7), "a");
        assert_eq!((queue.next_due(), queue.next(at(7))), (Some(at(7)), Some("a")));
    }
}
