//! The work: objects that something happened to, each looked at by one of a few workers.

pub mod decide;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use decide::Outcome;

/// Nothing is due: a wake ends this earlier.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A shared handle; whoever sees a change wakes what it concerns.
pub struct Queue<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    queue: Mutex<decide::Queue<K>>,
    changed: Notify,
    start: Instant,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Queue<K> {
        Queue { inner: self.inner.clone() }
    }
}

impl<K: Clone + Ord + std::hash::Hash + Send + 'static> Queue<K> {
    pub fn new(workers: usize) -> Queue<K> {
        let (queue, changed) = (Mutex::new(decide::Queue::new(workers)), Notify::new());
        Queue { inner: Arc::new(Inner { queue, changed, start: Instant::now() }) }
    }

    pub fn wake(&self, key: K) {
        self.change(|queue, now| queue.wake(now, key));
    }

    /// Also what failed is looked at again at once.
    pub fn retry(&self, key: K) {
        self.change(|queue, now| queue.retry(now, key));
    }

    /// How many wait for a worker, and how many are looked at, at one moment.
    pub fn load(&self) -> (usize, usize) {
        let now = self.now();
        let queue = self.lock();
        (queue.depth(now), queue.running())
    }

    /// Looks at one object after the other with `look`, without end.
    pub async fn drain<F>(&self, look: impl Fn(K) -> F)
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut running = JoinSet::new();
        loop {
            while let Some(key) = self.next() {
                let (queue, looking) = (self.clone(), look(key.clone()));
                running.spawn(async move {
                    let outcome = looking.await;
                    queue.change(|queue, now| queue.finished(now, &key, outcome, rand::random()));
                });
            }
            let due = self.lock().next_due();
            let due = due.unwrap_or_else(|| self.now() + LONGEST_WAIT);
            tokio::select! {
                () = self.inner.changed.notified() => {}
                () = tokio::time::sleep_until(self.inner.start + due) => {}
                // A look that panicked must not hold its worker's place: the process ends, Kubernetes starts it anew.
                Some(ended) = running.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a worker panicked");
                    return;
                },
            }
        }
    }

    fn next(&self) -> Option<K> {
        let now = self.now();
        self.lock().next(now)
    }

    fn change(&self, change: impl FnOnce(&mut decide::Queue<K>, Duration)) {
        let now = self.now();
        change(&mut self.lock(), now);
        self.inner.changed.notify_one();
    }

    fn now(&self) -> Duration {
        self.inner.start.elapsed()
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> std::sync::MutexGuard<'_, decide::Queue<K>> {
        self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
