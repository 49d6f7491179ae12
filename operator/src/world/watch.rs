//! One watch: its own backoff, its own age, so that one that is refused or hangs slows no other.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
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
/// more than a try and the pause before it take.
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
        if let Some(Trouble { since, .. }) = self.trouble().take() {
            let seconds = since.elapsed().as_secs();
            tracing::info!(kind = self.kind, of = self.of, seconds, "a watch that broke works again");
        }
        let age = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_event.store(age, Ordering::Relaxed);
    }

    pub fn broke(&self, error: &watcher::Error) {
        let now = Instant::now();
        let mut trouble = self.trouble();
        let begun = Trouble::after(*trouble, now);
        *trouble = Some(begun);
        if begun.since == now {
            tracing::warn!(kind = self.kind, of = self.of, %error, "a watch broke");
        } else {
            tracing::debug!(kind = self.kind, of = self.of, %error, "a watch is tried again in vain");
        }
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
        let version = match event {
            // A list is asked for, and has not been answered.
            Event::Init => return 0,
            Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => version(object),
            Event::InitDone => {
                self.listed.store(true, Ordering::Relaxed);
                0
            }
        };
        self.pulse.heard();
        version
    }
}

/// Between two tries of a watch; up to as much again is added at random. kube's own pauses grow to a minute, for which
/// nothing that happens after an outage of the API server would be seen.
const PAUSES: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(3);

/// How long to wait before the next try of one watch ([`PAUSES`]); it never gives up.
pub struct Pauses {
    grow: ExponentialBackoff,
    last: Option<Instant>,
}

impl Pauses {
    pub fn new() -> Pauses {
        let grow = backon::ExponentialBuilder::default().with_min_delay(*PAUSES.start()).with_max_delay(*PAUSES.end());
        Pauses { grow: grow.with_factor(2.0).with_jitter().without_max_times().into(), last: None }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let last = self.last.replace(Instant::now());
        if last.is_some_and(|last| last.elapsed() > MENDED_AFTER) {
            self.grow.reset();
        }
        self.grow.next()
    }
}

impl Backoff for Pauses {
    /// Asked for at the beginning of a list too, when nothing has been answered.
    fn reset(&mut self) {}
}

/// Plan of what to watch, and what to do with it.
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
    let stream = kube::runtime::watcher(plan.api, config).backoff(Pauses::new()).modify(move |found| {
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
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn a_list_that_is_only_asked_for_mends_no_watch() {
        let health = Health {
            pulse: Pulse::new("Pod", "all namespaces".to_owned()),
            listed: AtomicBool::new(false),
            newest_version: AtomicU64::new(0),
            count: Box::new(|| 0),
        };
        let is_broken = |heard: Result<Event<Pod>, watcher::Error>| {
            health.heard(&heard);
            health.pulse.trouble().is_some()
        };
        assert!(is_broken(Err(watcher::Error::NoResourceVersion)));
        assert!(is_broken(Ok(Event::Init)));
        assert!(!is_broken(Ok(Event::InitDone)));
    }

    #[test]
    fn a_watch_is_tried_again_within_seconds_however_long_it_was_in_vain() {
        let mut tried = Pauses::new();
        let mut next = || {
            tried.reset();
            tried.next()
        };
        let pauses: Vec<Duration> = (0..1000).map_while(|_| next()).collect();
        assert_eq!(pauses.len(), 1000, "it is never given up");
        assert!(pauses.iter().all(|pause| (*PAUSES.start()..=2 * *PAUSES.end()).contains(pause)), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| pause >= PAUSES.end()), "{pauses:?}");
    }

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
