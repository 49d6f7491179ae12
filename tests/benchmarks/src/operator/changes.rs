//! From a change of a spec to the status that knows of it: the operator's, or, for comparison, one that is written by
//! whoever makes the change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crds::HgRepository;
use futures::TryStreamExt;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::PATIENCE;
use super::stage::{NAMESPACE, Stage, name, status};

/// By name.
type Statuses = Arc<Mutex<HashMap<String, Known>>>;

#[derive(Default)]
struct Known {
    /// The generation that the status is about, and since when.
    told: Option<(i64, Instant)>,
    /// Waits of those who wait, and for which.
    waits: Option<(i64, oneshot::Sender<Instant>)>,
}

impl Known {
    fn is_told(&mut self, about: i64) {
        let (about, at) = match self.told {
            Some(told) if told.0 >= about => told,
            _ => (about, Instant::now()),
        };
        self.told = Some((about, at));
        if let Some((_, waiter)) = self.waits.take_if(|(generation, _)| *generation <= about) {
            waiter.send(at).unwrap();
        }
    }
}

#[derive(Clone, Copy)]
pub enum StatusBy {
    Operator,
    Ourselves,
}

pub struct Changes {
    api: Api<HgRepository>,
    statuses: Statuses,
    watch: JoinHandle<()>,
}

impl Changes {
    pub async fn begin(stage: &Stage) -> Changes {
        let api: Api<HgRepository> = stage.api(NAMESPACE);
        let now = api.list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap();
        let statuses = Statuses::default();
        let watch = tokio::spawn(watch(api.clone(), now, statuses.clone()));
        Changes { api, statuses, watch }
    }

    /// Makes so many, one repository after the other; answers how long each took, in seconds.
    pub async fn make(self, count: usize, per_second: u32, by: StatusBy) -> Vec<f64> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        let mut waiting = JoinSet::new();
        for number in 0..count {
            ticks.tick().await;
            waiting.spawn(change(self.api.clone(), number, per_second, by, self.statuses.clone()));
        }
        let latencies = waiting.join_all().await;
        self.watch.abort();
        latencies
    }
}

async fn watch(api: Api<HgRepository>, from: String, statuses: Statuses) {
    let mut events = std::pin::pin!(api.watch(&WatchParams::default(), &from).await.unwrap());
    while let Some(event) = events.try_next().await.unwrap() {
        let WatchEvent::Modified(changed) = event else { continue };
        let about = changed.status.and_then(|status| status.observed_generation);
        if let (Some(name), Some(about)) = (changed.metadata.name, about) {
            statuses.lock().unwrap().entry(name).or_default().is_told(about);
        }
    }
}

async fn change(api: Api<HgRepository>, number: usize, per_second: u32, by: StatusBy, statuses: Statuses) -> f64 {
    let name = name(number);
    let patch = Patch::Merge(json!({"spec": {"description": format!("changed {number}, {per_second} per second")}}));
    let begun = Instant::now();
    let changed = api.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    let generation = changed.metadata.generation.unwrap();
    if let StatusBy::Ourselves = by {
        let status = Patch::Merge(status(number, generation));
        api.patch_status(&name, &PatchParams::default(), &status).await.unwrap();
    }
    let (waiter, told) = oneshot::channel();
    {
        let mut statuses = statuses.lock().unwrap();
        let known = statuses.entry(name.clone()).or_default();
        match known.told {
            Some((about, at)) if about >= generation => return (at - begun).as_secs_f64(),
            _ => known.waits = Some((generation, waiter)),
        }
    }
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(at) => (at.unwrap() - begun).as_secs_f64(),
        Err(_) => panic!("{name} has no status of its change"),
    }
}
