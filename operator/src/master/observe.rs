//! Observes an SshMaster: what is known when it is looked at, as values.

use std::sync::Arc;

use crds::{MirrorPool, SshMaster, StorageMode};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::{Api, ResourceExt};

use super::steps::{self, is_ready};
use crate::apply::{Premise, refused};
use crate::context::Context;
use crate::link::view::View;
use crate::names::{Component, Workload};
use crate::problem::Problem;
use crate::world::cache::Name;

pub struct Observed {
    /// With as many instances as there are to be now.
    pub master: Arc<SshMaster>,
    /// Wanted instances, as the resource says.
    pub wanted_instances: u32,
    pub name: Name,
    /// Those that follow it, the oldest first.
    pub pools: Vec<Pool>,
    /// All pools, also those of other masters.
    pub all_pools: Premise,
    /// The secret of `directory.authorizedKeys`; None: it is not there.
    pub users: Option<Arc<Secret>>,
    /// The secret of `hostKeysSecretRef`; None: none is named, or it is not there.
    pub named_host_keys: Option<Arc<Secret>>,
    pub stateful_set: Option<Arc<StatefulSet>>,
    pub register: Option<Arc<Lease>>,
    pub pods: Vec<Arc<Pod>>,
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
    /// View: what the master last said, if any.
    pub view: Option<Arc<View>>,
}

pub struct Pool {
    pub pool: Arc<MirrorPool>,
    pub stateful_set: Option<Arc<StatefulSet>>,
}

impl Observed {
    pub fn workload(&self) -> Workload<'_> {
        Workload { component: Component::Ssh, namespace: &self.name.namespace, name: &self.name.name }
    }

    /// All instances have one volume.
    pub fn is_shared(&self) -> bool {
        self.master.spec.storage.mode == StorageMode::Shared
    }

    /// With one volume whoever is ready can open it.
    pub fn another_is_ready(&self) -> bool {
        self.pods.iter().any(|pod| Some(pod.name_any().as_str()) != self.holder() && is_ready(pod))
    }

    /// There are volumes, and nothing says who is master.
    pub fn is_register_lost(&self) -> bool {
        self.register.is_none() && !self.claims.is_empty()
    }

    /// Answers who is master by the register.
    pub fn holder(&self) -> Option<&str> {
        let holder = self.register.as_ref()?.spec.as_ref()?.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }
}

pub async fn observe(context: &Context, master: Arc<SshMaster>) -> Result<Observed, Problem> {
    let (name, world) = (Name::of(master.as_ref()), &context.world);
    let secret = |named: &str| Name::new(name.namespace.clone(), named);
    let users = secret(&master.spec.directory.authorized_keys.secret_ref.name);
    let host_keys = master.spec.host_keys_secret_ref.as_ref().map(|reference| secret(&reference.name));
    let named: Vec<Name> = [&users].into_iter().chain(&host_keys).cloned().collect();
    world.named_secrets.name(&context.client, &context.queue, &name, &named);
    let users = named_secret(context, &users).await?;
    let named_host_keys = match &host_keys {
        Some(named) => named_secret(context, named).await?,
        None => None,
    };
    let workload = Workload { component: Component::Ssh, namespace: &name.namespace, name: &name.name };
    let mut pools = world.pools.find(|pool| pool.namespace().as_ref() == Some(&name.namespace));
    let all_pools = Premise::all(pools.iter().map(Arc::as_ref));
    pools.retain(|pool| pool.spec.master_ref.name == name.name);
    pools.sort_by_key(|pool| (pool.creation_timestamp().map(|time| time.0), pool.name_any()));
    let pool = |pool: Arc<MirrorPool>| {
        let own = pool.name_any();
        let mirrors = Workload { component: Component::Mirror, namespace: &name.namespace, name: &own };
        let stateful_set = world.stateful_sets.get(&Name::new(name.namespace.clone(), mirrors.object()));
        Pool { pool, stateful_set }
    };
    let register = world.registers.get(&name);
    let wanted_instances = master.spec.instances;
    Ok(Observed {
        pools: pools.into_iter().map(pool).collect(),
        all_pools,
        users,
        named_host_keys,
        stateful_set: world.stateful_sets.get(&Name::new(name.namespace.clone(), workload.object())),
        pods: world.ssh_pods_of(&name),
        claims: world.claims_of(&name),
        view: context.link(&name).and_then(|link| link.view()),
        master: steps::holding(master, register.as_deref()),
        wanted_instances,
        register,
        name,
    })
}

/// As its watch has it, or, while that has said nothing, as the API server does.
async fn named_secret(context: &Context, name: &Name) -> Result<Option<Arc<Secret>>, Problem> {
    if let Some(known) = context.world.named_secrets.get(name) {
        return Ok(known);
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &name.namespace);
    Ok(secrets.get_opt(&name.name).await.map_err(refused)?.map(Arc::new))
}
