//! One watch: its own backoff, its own age, so that one that is refused or hangs slows no other.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::cache::{Cache, Change, Filler, version};
use super::metadata;
use crate::metrics::metrics;

/// A watch is asked anew after this time, so that a connection that died unseen is noticed.
const WATCH_SECONDS: u32 = 60;
/// A watch that fails for longer makes this process unready.
pub const FAILING_TOO_LONG: Duration = Duration::from_secs(60);

/// A watch that works again may have nothing to tell for long: it does when it has not failed for this time, which is
/// more than is waited between two tries (30 s, and as much again at random).
const MENDED_AFTER: Duration = Duration::from_secs(90);

/// The failures of one watch, without a word of it in between.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
}

impl Trouble {
    fn after(before: Option<Trouble>, now: Instant) -> Trouble {
        Trouble { since: before.filter(|before| before.lasts(now)).map_or(now, |before| before.since), last: now }
    }

    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.last) <= MENDED_AFTER
    }

    fn is_too_long(&self, now: Instant) -> bool {
        self.lasts(now) && now.duration_since(self.since) > FAILING_TOO_LONG
    }
}

/// Whether one watch works, for health and metrics.
pub struct Pulse {
    pub kind: String,
    /// The namespace or the object that it is of, for the log.
    of: String,
    start: Instant,
    last_event: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
}

impl Pulse {
    pub fn new(kind: &str, of: String) -> Pulse {
        let (last_event, trouble) = (AtomicU64::new(0), Mutex::new(None));
        Pulse { kind: kind.to_owned(), of, start: Instant::now(), last_event, trouble }
    }

    /// Since it last said anything.
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_event.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    pub fn fails_too_long(&self) -> bool {
        self.trouble().is_some_and(|trouble| trouble.is_too_long(Instant::now()))
    }

    pub fn heard(&self) {
        *self.trouble() = None;
        let age = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_event.store(age, Ordering::Relaxed);
    }

    pub fn broke(&self, error: &watcher::Error) {
        let mut trouble = self.trouble();
        *trouble = Some(Trouble::after(*trouble, Instant::now()));
        tracing::warn!(kind = self.kind, of = self.of, %error, "a watch broke");
        if let Some(metrics) = metrics() {
            metrics.watch_errors.with_label_values(&[&self.kind]).inc();
        }
    }

    /// Nothing panics while it is held.
    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one watch does that fills a cache.
pub struct Health {
    pub pulse: Pulse,
    listed: AtomicBool,
    newest_version: AtomicU64,
    count: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Health {
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    pub fn newest_version(&self) -> u64 {
        self.newest_version.load(Ordering::Relaxed)
    }

    /// Objects in the cache, also those of other watches of this kind.
    pub fn count(&self) -> usize {
        (self.count)()
    }

    /// Answers the version that it tells of, 0 for none.
    fn heard<K: ResourceExt>(&self, heard: &Result<Event<K>, watcher::Error>) -> u64 {
        let event = match heard {
            Ok(event) => event,
            Err(error) => {
                self.pulse.broke(error);
                return 0;
            }
        };
        self.pulse.heard();
        match event {
            Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => version(object),
            Event::InitDone => {
                self.listed.store(true, Ordering::Relaxed);
                0
            }
            Event::Init => 0,
        }
    }
}

/// What to watch, and what to do with it.
pub struct Plan<K> {
    /// One object that our types refuse must not make a list of all others one that cannot be read.
    pub api: Api<DeserializeGuard<K>>,
    pub namespace: Option<String>,
    /// None: all of this kind.
    pub labels: Option<&'static str>,
    pub slim: fn(&mut K),
    pub cache: Cache<K>,
}

/// Watches without end.
pub fn start<K>(plan: Plan<K>, changed: impl Fn(&Change<K>) + Send + Sync + 'static) -> Arc<Health>
where
    K: Resource<DynamicType = ()> + ResourceExt + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let counted = plan.cache.clone();
    let health = Arc::new(Health {
        pulse: Pulse::new(&K::kind(&()), plan.namespace.clone().unwrap_or_else(|| "all namespaces".to_owned())),
        listed: AtomicBool::new(false),
        newest_version: AtomicU64::new(0),
        count: Box::new(move || counted.len()),
    });
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    if let Some(labels) = plan.labels {
        config = config.labels(labels);
    }
    let mut filler = Filler::new(plan.cache, plan.namespace);
    let (told, slim) = (health.clone(), plan.slim);
    let stream = kube::runtime::watcher(plan.api, config).default_backoff().modify(move |found| {
        if let Ok(object) = &mut found.0 {
            slim(object);
        } else {
            metadata(found);
        }
    });
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(heard) = stream.next().await {
            let version = told.heard(&heard);
            let Ok(event) = heard else { continue };
            filler.take(event).iter().for_each(&changed);
            // Whoever reads it finds woken whom it concerns.
            told.newest_version.fetch_max(version, Ordering::Relaxed);
        }
        tracing::error!(kind = told.pulse.kind, "a watch ended for good");
    });
    health
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_fails_for_as_long_as_it_is_tried_in_vain() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut trouble = Trouble::after(None, at(0));
        for second in [20, 60] {
            trouble = Trouble::after(Some(trouble), at(second));
            assert!(!trouble.is_too_long(at(second)));
        }
        assert!(trouble.is_too_long(at(61)));
        assert!(trouble.is_too_long(at(150)));
        assert!(!trouble.is_too_long(at(151)), "it was not tried in vain since: there is nothing to tell");
        assert!(!Trouble::after(Some(trouble), at(200)).is_too_long(at(200)), "another trouble");
    }
}
