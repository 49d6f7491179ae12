//! From a change of a spec to the status that knows of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crds::HgRepository;
use futures::TryStreamExt;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::PATIENCE;
use super::stage::{OURS, Stage, name};

/// By name: the generation that the status is about, and since when.
type Statuses = Arc<Mutex<HashMap<String, (i64, Instant)>>>;

pub struct Changes {
    api: Api<HgRepository>,
    statuses: Statuses,
    watch: JoinHandle<()>,
}

impl Changes {
    pub async fn begin(stage: &Stage) -> Changes {
        let api: Api<HgRepository> = stage.api(OURS);
        let now = api.list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap();
        let statuses = Statuses::default();
        let watch = tokio::spawn(watch(api.clone(), now, statuses.clone()));
        Changes { api, statuses, watch }
    }

    /// Makes so many, one repository after the other; answers how long each took, in seconds.
    pub async fn make(self, count: usize, per_second: u32) -> Vec<f64> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        let mut waiting = JoinSet::new();
        for number in 0..count {
            ticks.tick().await;
            waiting.spawn(change(self.api.clone(), number, self.statuses.clone()));
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
            let mut statuses = statuses.lock().unwrap();
            let known = statuses.entry(name).or_insert((about, Instant::now()));
            if known.0 < about {
                *known = (about, Instant::now());
            }
        }
    }
}

async fn change(api: Api<HgRepository>, number: usize, statuses: Statuses) -> f64 {
    let name = name(number);
    let patch = Patch::Merge(json!({"spec": {"description": format!("changed {number}")}}));
    let begun = Instant::now();
    let changed = api.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    let generation = changed.metadata.generation.unwrap();
    while begun.elapsed() < PATIENCE {
        let known = statuses.lock().unwrap().get(&name).copied();
        if let Some((_, seen)) = known.filter(|(about, _)| *about >= generation) {
            return (seen - begun).as_secs_f64();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{name} has no status of its change");
}
