//! Secrets that people write and resources name: they carry no label of ours and have any name, hence each has a watch
//! of its own, as the kubelet does it, for as long as a resource names it. Two at most for an SshMaster.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;

use super::cache::Name;
use super::watch::{Pauses, Pulse};
use super::{Key, slim};
use crate::queue::Queue;

/// Known of a secret. The outer None: nothing now, ask the API server; the inner one: it is not there.
type Known = Option<Option<Arc<Secret>>>;

#[derive(Clone, Default)]
pub struct Named(Arc<Mutex<HashMap<Name, Watched>>>);

struct Watched {
    known: Known,
    /// The SshMasters that name it.
    by: BTreeSet<Name>,
    pulse: Arc<Pulse>,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Named {
    pub fn get(&self, secret: &Name) -> Known {
        self.lock().get(secret)?.known.clone()
    }

    /// This SshMaster names these secrets and no others: it is woken when one of them changes.
    pub fn name(&self, client: &Client, queue: &Queue<Key>, master: &Name, secrets: &[Name]) {
        let mut all = self.lock();
        all.retain(|secret, watched| {
            if !secrets.contains(secret) {
                watched.by.remove(master);
            }
            !watched.by.is_empty()
        });
        for secret in secrets {
            let start = || {
                let pulse = Arc::new(Pulse::new("NamedSecret", secret.to_string()));
                let watch = watch(self.clone(), client.clone(), queue.clone(), secret.clone(), pulse.clone());
                Watched { known: None, by: BTreeSet::new(), pulse, task: tokio::spawn(watch) }
            };
            all.entry(secret.clone()).or_insert_with(start).by.insert(master.clone());
        }
    }

    /// One for each secret.
    pub fn pulses(&self) -> Vec<Arc<Pulse>> {
        self.lock().values().map(|watched| watched.pulse.clone()).collect()
    }

    /// Answers whom that concerns.
    fn note(&self, secret: &Name, known: Known) -> Vec<Name> {
        let mut all = self.lock();
        let Some(watched) = all.get_mut(secret) else { return Vec::new() };
        let version =
            |known: &Known| known.as_ref().map(|there| there.as_ref().and_then(|one| one.resource_version()));
        let news = known.is_some() && version(&known) != version(&watched.known);
        watched.known = known;
        if news { watched.by.iter().cloned().collect() } else { Vec::new() }
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until nobody names it any more.
async fn watch(all: Named, client: Client, queue: Queue<Key>, name: Name, pulse: Arc<Pulse>) {
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    let mut stream = std::pin::pin!(watcher::watch_object(api, &name.name).backoff(Pauses::new()));
    while let Some(heard) = stream.next().await {
        match &heard {
            Ok(_) => pulse.heard(),
            Err(error) => pulse.broke(error),
        }
        let known = heard.ok();
        let known = known.map(|found| {
            found.map(|mut secret| {
                slim::metadata(&mut secret);
                Arc::new(secret)
            })
        });
        all.note(&name, known).into_iter().for_each(|master| queue.retry(Key::Master(master)));
    }
}
