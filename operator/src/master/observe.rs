//! What is known when an SshMaster is looked at, as values.

use std::sync::Arc;

use crds::{MirrorPool, SshMaster};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::{Api, Client, ResourceExt};

use crate::apply::refused;
use crate::link::view::View;
use crate::names::{self, Component, Workload};
use crate::problem::Problem;
use crate::world::World;
use crate::world::cache::Name;

pub struct Observed {
    pub master: Arc<SshMaster>,
    pub name: Name,
    /// Those that follow it, the oldest first.
    pub pools: Vec<Pool>,
    /// The secret of `directory.authorizedKeys`; None: it is not there.
    pub users: Option<Secret>,
    /// The secret of `hostKeysSecretRef`; None: none is named, or it is not there.
    pub named_host_keys: Option<Secret>,
    pub stateful_set: Option<Arc<StatefulSet>>,
    pub register: Option<Arc<Lease>>,
    pub pods: Vec<Arc<Pod>>,
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
    /// What the master last said, if any.
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

    /// Who the register says is master.
    pub fn holder(&self) -> Option<&str> {
        let holder = self.register.as_ref()?.spec.as_ref()?.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }
}

pub async fn observe(
    client: &Client,
    world: &World,
    master: Arc<SshMaster>,
    view: Option<Arc<View>>,
) -> Result<Observed, Problem> {
    let name = Name::of(master.as_ref());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &name.namespace);
    let users = &master.spec.directory.authorized_keys.secret_ref.name;
    let users = secrets.get_opt(users).await.map_err(refused)?;
    let named_host_keys = match &master.spec.host_keys_secret_ref {
        Some(reference) => secrets.get_opt(&reference.name).await.map_err(refused)?,
        None => None,
    };
    let workload = Workload { component: Component::Ssh, namespace: &name.namespace, name: &name.name };
    let ours = |labels: &std::collections::BTreeMap<String, String>, namespace: Option<String>| {
        namespace.as_ref() == Some(&name.namespace) && names::is_selected(Some(labels), Component::Ssh, &name.name)
    };
    let mut pools = world.pools_of(&name);
    pools.sort_by_key(|pool| (pool.creation_timestamp().map(|time| time.0), pool.name_any()));
    let pool = |pool: Arc<MirrorPool>| {
        let own = pool.name_any();
        let mirrors = Workload { component: Component::Mirror, namespace: &name.namespace, name: &own };
        let stateful_set = world.stateful_sets.get(&Name::new(name.namespace.clone(), mirrors.object()));
        Pool { pool, stateful_set }
    };
    Ok(Observed {
        pools: pools.into_iter().map(pool).collect(),
        users,
        named_host_keys,
        stateful_set: world.stateful_sets.get(&Name::new(name.namespace.clone(), workload.object())),
        register: world.registers.get(&name),
        pods: world.pods.find(|pod| ours(pod.labels(), pod.namespace())),
        claims: world.claims.find(|claim| ours(claim.labels(), claim.namespace())),
        view,
        master,
        name,
    })
}
