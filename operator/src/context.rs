//! Context that every look at a resource works with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::{PostParams, Request};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::apply::{Applicable, Hand, Owner, Writes, refused};
use crate::events::Events;
use crate::link::{Link, Surroundings};
use crate::metrics;
use crate::names::STATUS_MANAGER;
use crate::notes::Notes;
use crate::objects::Maker;
use crate::problem::Problem;
use crate::queue::Queue;
use crate::world::cache::{Cache, Name};
use crate::world::{Key, World};

#[derive(Clone)]
pub struct Context {
    pub client: Client,
    pub world: World,
    pub queue: Queue<Key>,
    pub events: Events,
    pub written: Writes,
    pub maker: Maker,
    /// Notes that promotions leave to be told.
    pub notes: Notes,
    links: Arc<Mutex<HashMap<Name, Arc<Link>>>>,
    reported: Arc<Mutex<HashMap<Key, Instant>>>,
}

impl Context {
    pub fn new(client: Client, world: World, queue: Queue<Key>, events: Events, maker: Maker) -> Context {
        Context {
            client,
            world,
            queue,
            events,
            written: Writes::default(),
            maker,
            notes: Notes::default(),
            links: Arc::default(),
            reported: Arc::default(),
        }
    }

    /// Writes for one resource.
    pub fn hand<'a>(&'a self, owner: &'a Owner) -> Hand<'a> {
        Hand::new(&self.client, &self.events, &self.written, owner)
    }

    pub fn link(&self, master: &Name) -> Option<Arc<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).get(master).cloned()
    }

    pub fn keep_link(&self, master: Name, link: Arc<Link>) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert(master, link);
    }

    pub fn drop_link(&self, master: &Name) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(master);
    }

    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            client: self.client.clone(),
            world: self.world.clone(),
            queue: self.queue.clone(),
            events: self.events.clone(),
        }
    }

    /// How long ago this process last wrote its status; None: never.
    pub fn reported(&self, key: &Key) -> Option<Duration> {
        let reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.get(key).map(Instant::elapsed)
    }

    /// Writes a status, which is known to differ from the one that is there, of exactly the version that is known. All
    /// of it is ours, so that it is replaced: to apply it would cost the API server a third more, for each push.
    pub async fn report<K: Applicable>(
        &self,
        cache: &Cache<K>,
        key: Key,
        known: &K,
        status: &impl Serialize,
    ) -> Result<(), Problem> {
        let name = key.name();
        let (version, kind) = (K::api_version(&()), K::kind(&()));
        let body = json!({
            "apiVersion": version,
            "kind": kind,
            "metadata": {
                "name": name.name,
                "namespace": name.namespace,
                "uid": known.uid(),
                "resourceVersion": known.resource_version(),
            },
            "status": status,
        });
        metrics::wrote("status", &kind);
        let parameters = PostParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PostParams::default() };
        let all = Request::new(K::url_path(&(), Some(&name.namespace)));
        let request = all.replace_subresource("status", &name.name, &parameters, body.to_string().into_bytes());
        let mut written: K = match request {
            Ok(request) => self.client.request(request).await.map_err(refused)?,
            Err(error) => return Err(refused(kube::Error::BuildRequest(error))),
        };
        crate::world::metadata(&mut written);
        cache.put(written);
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
        Ok(())
    }
}
