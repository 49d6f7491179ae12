//! One watch: its own backoff, its own age, so that one that is refused or hangs slows no other.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::cache::{Cache, Change, Filler, version};
use crate::metrics::metrics;

/// A watch is asked anew after this time, so that a connection that died unseen is noticed.
const WATCH_SECONDS: u32 = 60;
/// A watch that fails for longer makes this process unready.
pub const FAILING_TOO_LONG: Duration = Duration::from_secs(60);

/// How one watch does, for health and metrics.
pub struct Health {
    pub kind: String,
    start: Instant,
    listed: AtomicBool,
    last_event: AtomicU64,
    failing_since: Mutex<Option<Instant>>,
    newest_version: AtomicU64,
    count: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Health {
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    pub fn fails_too_long(&self) -> bool {
        self.failing().is_some_and(|since| since.elapsed() > FAILING_TOO_LONG)
    }

    /// Brings the gauges up to date.
    pub fn tell(&self) {
        let last = Duration::from_millis(self.last_event.load(Ordering::Relaxed));
        let age = self.start.elapsed().saturating_sub(last).as_secs_f64();
        if let Some(metrics) = metrics() {
            let newest = i64::try_from(self.newest_version.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            metrics.watch_age.with_label_values(&[&self.kind]).set(age);
            metrics.watch_newest.with_label_values(&[&self.kind]).set(newest);
            let count = i64::try_from((self.count)()).unwrap_or(i64::MAX);
            metrics.objects.with_label_values(&[&self.kind]).set(count);
        }
    }

    fn failing(&self) -> Option<Instant> {
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the version that it tells of, 0 for none.
    fn heard<K: ResourceExt>(&self, heard: &Result<Event<K>, watcher::Error>) -> u64 {
        let mut failing = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Ok(event) => {
                *failing = None;
                let age = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.last_event.store(age, Ordering::Relaxed);
                match event {
                    Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => return version(object),
                    Event::InitDone => self.listed.store(true, Ordering::Relaxed),
                    Event::Init => {}
                }
            }
            Err(error) => {
                failing.get_or_insert_with(Instant::now);
                tracing::warn!(kind = self.kind, %error, "a watch broke");
                if let Some(metrics) = metrics() {
                    metrics.watch_errors.with_label_values(&[&self.kind]).inc();
                }
            }
        }
        0
    }
}

/// What to watch, and what to do with it.
pub struct Plan<K> {
    pub api: Api<K>,
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
        kind: K::kind(&()).into_owned(),
        start: Instant::now(),
        listed: AtomicBool::new(false),
        last_event: AtomicU64::new(0),
        failing_since: Mutex::new(None),
        newest_version: AtomicU64::new(0),
        count: Box::new(move || counted.len()),
    });
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    if let Some(labels) = plan.labels {
        config = config.labels(labels);
    }
    let mut filler = Filler::new(plan.cache, plan.namespace);
    let (told, slim) = (health.clone(), plan.slim);
    let stream = kube::runtime::watcher(plan.api, config).default_backoff().modify(slim);
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(heard) = stream.next().await {
            let version = told.heard(&heard);
            let Ok(event) = heard else { continue };
            filler.take(event).iter().for_each(&changed);
            // Whoever reads it finds woken whom it concerns.
            told.newest_version.fetch_max(version, Ordering::Relaxed);
        }
        tracing::error!(kind = told.kind, "a watch ended for good");
    });
    health
}
