//! The world as the API server tells it: everything of ours, kept in memory and slimmed, and what a change concerns.

pub mod cache;
mod concerns;
mod named;
mod paths;
mod slim;
pub use slim::metadata;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crds::conditions::Reason;
use crds::{HgRepository, MasterRef, MirrorPool, SshMaster};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use cache::{Cache, Change, Name};
pub use concerns::Key;
pub use named::Named;
pub use paths::Paths;
use watch::{Health, Plan};

use crate::metrics::metrics;
use crate::names::{Component, MANAGED, is_selected};
use crate::problem::Problem;
use crate::queue::Queue;

#[derive(Clone, Default)]
pub struct World {
    pub masters: Cache<SshMaster>,
    pub pools: Cache<MirrorPool>,
    pub repositories: Cache<HgRepository>,
    pub paths: Paths,
    pub stateful_sets: Cache<StatefulSet>,
    pub services: Cache<Service>,
    pub config_maps: Cache<ConfigMap>,
    /// Ours only.
    pub secrets: Cache<Secret>,
    /// Those that people write and resources name.
    pub named_secrets: Named,
    pub registers: Cache<Lease>,
    pub budgets: Cache<PodDisruptionBudget>,
    pub policies: Cache<NetworkPolicy>,
    pub accounts: Cache<ServiceAccount>,
    pub roles: Cache<Role>,
    pub bindings: Cache<RoleBinding>,
    pub pods: Cache<Pod>,
    pub claims: Cache<PersistentVolumeClaim>,
    pub slices: Cache<EndpointSlice>,
}

impl World {
    /// The pools that name this SshMaster.
    pub fn pools_of(&self, master: &Name) -> Vec<Arc<MirrorPool>> {
        self.pools.find(|pool| {
            pool.namespace().as_ref() == Some(&master.namespace) && pool.spec.master_ref.name == master.name
        })
    }

    /// The pods of its SSH instances.
    pub fn ssh_pods_of(&self, master: &Name) -> Vec<Arc<Pod>> {
        self.pods.find(|pod| is_ssh_of(pod, master))
    }

    /// Their volumes, also those of instances that are not wanted any more.
    pub fn claims_of(&self, master: &Name) -> Vec<Arc<PersistentVolumeClaim>> {
        self.claims.find(|claim| is_ssh_of(claim, master))
    }

    /// This SshMaster is there and could never be read: what is its stays as it is, and is woken when it is known.
    pub fn is_unknown(&self, namespace: &str, master: &MasterRef) -> bool {
        let master = Name::new(namespace, &*master.name);
        self.masters.is_unreadable(&master) && self.masters.get(&master).is_none()
    }

    /// Refuses until all pools are known: what mirrors there are to be follows from all of them.
    pub fn must_know_pools(&self, namespace: &str) -> Result<(), Problem> {
        let Some(Name { name, .. }) = self.pools.unknown(namespace) else { return Ok(()) };
        let sentence = format!("MirrorPool '{name}' cannot be read: until it can, settings stay as they are");
        Err(Problem::user(Reason::Reconciling, sentence))
    }

    /// How many mirrors they are to have together.
    pub fn mirrors_wanted(&self, master: &Name) -> u32 {
        self.pools_of(master).iter().map(|pool| pool.spec.replicas).sum()
    }
}

fn is_ssh_of(object: &impl ResourceExt, master: &Name) -> bool {
    object.namespace().as_ref() == Some(&master.namespace)
        && is_selected(Some(object.labels()), Component::Ssh, &master.name)
}

/// All watches of this process.
#[derive(Clone, Default)]
pub struct Watches {
    filling: Vec<Arc<Health>>,
    named: Named,
}

impl Watches {
    /// No decision before everything was listed once.
    pub fn are_listed(&self) -> bool {
        self.filling.iter().all(|watch| watch.is_listed())
    }

    /// Kinds that cannot be watched.
    pub fn failing(&self) -> BTreeSet<String> {
        let named = self.named.pulses();
        let all = self.filling.iter().map(|watch| &watch.pulse).chain(named.iter().map(Arc::as_ref));
        all.filter(|pulse| pulse.fails_too_long()).map(|pulse| pulse.kind.clone()).collect()
    }

    /// Kinds that have not been listed yet.
    pub fn missing(&self) -> BTreeSet<String> {
        let missing = self.filling.iter().filter(|watch| !watch.is_listed());
        missing.map(|watch| watch.pulse.kind.clone()).collect()
    }

    /// Brings the gauges up to date. Where a kind has several watches, of one namespace each, the one counts that has
    /// been silent for longest.
    pub fn tell(&self) {
        let Some(metrics) = metrics() else { return };
        let (mut ages, mut newest) = (BTreeMap::<&str, Duration>::new(), BTreeMap::<&str, u64>::new());
        let named = self.named.pulses();
        for pulse in self.filling.iter().map(|watch| &watch.pulse).chain(named.iter().map(Arc::as_ref)) {
            let age = ages.entry(&pulse.kind).or_default();
            *age = pulse.age().max(*age);
        }
        for watch in &self.filling {
            let version = newest.entry(&watch.pulse.kind).or_default();
            *version = watch.newest_version().max(*version);
            metrics.objects.with_label_values(&[&watch.pulse.kind]).set(signed(watch.count() as u64));
        }
        // Of secrets that nobody names any more there is nothing to tell.
        metrics.watch_age.reset();
        for (kind, age) in ages {
            metrics.watch_age.with_label_values(&[kind]).set(age.as_secs_f64());
        }
        for (kind, version) in newest {
            metrics.watch_newest.with_label_values(&[kind]).set(signed(version));
        }
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Watches `namespaces`, or the whole cluster when there are none, and wakes whom each change concerns.
pub fn watch(client: &Client, namespaces: &[String], world: &World, queue: &Queue<Key>) -> Watches {
    let mut start = Start { client, namespaces, world, queue, watches: Vec::new() };
    start.all(&world.masters, None, slim::metadata, concerns::of_master);
    start.all(&world.pools, None, slim::metadata, concerns::of_pool);
    start.all(&world.repositories, None, slim::metadata, concerns::of_repository);
    start.ours(&world.stateful_sets, slim::metadata);
    start.ours(&world.services, slim::metadata);
    start.ours(&world.config_maps, slim::metadata);
    start.ours(&world.secrets, slim::metadata);
    start.ours(&world.registers, slim::metadata);
    start.ours(&world.budgets, slim::metadata);
    start.ours(&world.policies, slim::metadata);
    start.ours(&world.accounts, slim::metadata);
    start.ours(&world.roles, slim::metadata);
    start.ours(&world.bindings, slim::metadata);
    start.ours(&world.pods, slim::pod);
    start.ours(&world.claims, slim::claim);
    start.ours(&world.slices, slim::metadata);
    Watches { filling: start.watches, named: world.named_secrets.clone() }
}

struct Start<'a> {
    client: &'a Client,
    namespaces: &'a [String],
    world: &'a World,
    queue: &'a Queue<Key>,
    watches: Vec<Arc<Health>>,
}

type Concerns<K> = fn(&World, &Change<K>) -> Vec<Key>;

impl Start<'_> {
    fn ours<K>(&mut self, cache: &Cache<K>, slim: fn(&mut K))
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Watched,
    {
        self.all(cache, Some(MANAGED), slim, concerns::of_object);
    }

    fn all<K>(&mut self, cache: &Cache<K>, labels: Option<&'static str>, slim: fn(&mut K), concerns: Concerns<K>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Watched,
    {
        let each: Vec<Option<&String>> =
            if self.namespaces.is_empty() { vec![None] } else { self.namespaces.iter().map(Some).collect() };
        for namespace in each {
            let api = match namespace {
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                None => Api::all(self.client.clone()),
            };
            let plan = Plan { api, namespace: namespace.cloned(), labels, slim, cache: cache.clone() };
            let (world, queue) = (self.world.clone(), self.queue.clone());
            let ours = labels.is_none();
            let changed = move |change: &Change<K>| {
                // What a person has changed may be mended.
                let retry = ours && change.is_new_spec();
                let look = |key| if retry { queue.retry(key) } else { queue.wake(key) };
                concerns(&world, change).into_iter().for_each(look);
            };
            self.watches.push(watch::start(plan, changed));
        }
    }
}

/// Kind of object that can be watched.
pub trait Watched: ResourceExt + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static {}

impl<K: ResourceExt + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static> Watched for K {}
