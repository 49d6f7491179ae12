//! Turning the mirrors' readiness gates, and telling the master which mirrors readers are sent to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::MirrorPool;
use interface::paths;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use protocol::InstanceName;
use protocol::endpoints::{Endpoints, ServingReport};
use serde_json::json;
use tokio::time::Instant;

use super::gate::decide::{Gate, MirrorSeen, Turn};
use super::{Shared, Surroundings, is_of};
use crate::events::EventReason;
use crate::metrics;
use crate::names::{ACTIVE_GATE, Component, FIELD_MANAGER, Workload, http_service, is_selected};
use crate::world::World;
use crate::world::cache::Name;

/// One round: what is seen is told, and what is answered is done. While nobody knows which mirrors there are to be,
/// nothing is told or turned, and each may have readers.
pub(super) async fn turn(shared: &Shared, around: &Surroundings, gate: &mut Gate, start: Instant) {
    let world = &around.world;
    let knows = world.must_know_pools(&shared.master.namespace).is_ok();
    if knows {
        exchange(shared, around, gate, start).await;
    }
    let used = world.pods.names().into_iter().filter(|name| name.namespace == shared.master.namespace);
    let used = used.filter_map(|name| name.name.parse::<InstanceName>().ok());
    let used = used.filter(|name| !knows || gate.is_used(start.elapsed(), name)).collect();
    shared.told().used = used;
}

async fn exchange(shared: &Shared, around: &Surroundings, gate: &mut Gate, start: Instant) {
    let world = &around.world;
    gate.see(start.elapsed(), &seen(world, &shared.master));
    let report = ServingReport { mirrors: Some(mirrors(world, &shared.master)), ..gate.report(start.elapsed()) };
    match shared.tell::<Endpoints>(world, paths::ENDPOINTS, &report).await {
        Ok(answer) => gate.answered(&report, &answer.endpoints),
        Err(error) => tracing::debug!(master = %shared.master, %error, "no master to report readers to"),
    }
    for turn in gate.turns() {
        let name = Name::new(shared.master.namespace.clone(), turn.name.as_str());
        let Some(pod) = world.pods.get(&name) else { continue };
        gate.turning(&turn);
        match write(around, &pod, &turn).await {
            Ok(mut written) => {
                crate::world::metadata(&mut written);
                world.pods.put(written);
                gate.turned(&turn);
            }
            Err(error) => tracing::warn!(pod = %name, open = turn.open, %error, "a readiness gate was not turned"),
        }
    }
}

async fn write(around: &Surroundings, pod: &Pod, turn: &Turn) -> Result<Pod, kube::Error> {
    let api: Api<Pod> = Api::namespaced(around.client.clone(), &pod.namespace().unwrap_or_default());
    let (status, reason) = if turn.open { ("True", "Active") } else { ("False", "Left") };
    let patch = json!({
        "metadata": {"uid": pod.uid()},
        "status": {"conditions": [{
            "type": ACTIVE_GATE,
            "status": status,
            "reason": reason,
            "lastTransitionTime": k8s_openapi::jiff::Timestamp::now().to_string(),
        }]},
    });
    metrics::wrote("patch", "Pod");
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = api.patch_status(&pod.name_any(), &parameters, &Patch::Strategic(&patch)).await?;
    let reason = if turn.open { EventReason::MirrorJoined } else { EventReason::MirrorLeft };
    around.events.tell(pod, reason, format!("mirror {}", turn.name)).await;
    Ok(written)
}

/// All mirrors of this installation that have a pod, or that a Service still sends readers to.
fn seen(world: &World, master: &Name) -> Vec<MirrorSeen> {
    let pools = world.pools.find(|pool| is_of(pool, &pool.spec.master_ref.name, master));
    let mut seen = BTreeMap::new();
    for pool in pools {
        let in_service = in_service(world, &pool);
        for pod in pods(world, &pool) {
            if let Some(one) = mirror(&pool, &pod, &in_service) {
                seen.insert(one.name.clone(), one);
            }
        }
        for name in in_service {
            let gone = MirrorSeen { name: name.clone(), open: false, in_service: true, ended: false, leaving: true };
            seen.entry(name).or_insert(gone);
        }
    }
    seen.into_values().collect()
}

/// All that there shall be, and those that still have a pod.
fn mirrors(world: &World, master: &Name) -> BTreeSet<InstanceName> {
    let mut names = BTreeSet::new();
    for pool in world.pools.find(|pool| is_of(pool, &pool.spec.master_ref.name, master)) {
        let name = pool.name_any();
        let workload = Workload { component: Component::Mirror, namespace: &master.namespace, name: &name };
        names.extend((0..pool.spec.replicas).filter_map(|ordinal| workload.instance(ordinal)));
        names.extend(pods(world, &pool).iter().filter_map(|pod| pod.name_any().parse::<InstanceName>().ok()));
    }
    names
}

fn pods(world: &World, pool: &MirrorPool) -> Vec<Arc<Pod>> {
    let (namespace, name) = (pool.namespace(), pool.name_any());
    world.pods.find(|pod| pod.namespace() == namespace && is_selected(Some(pod.labels()), Component::Mirror, &name))
}

fn mirror(pool: &MirrorPool, pod: &Pod, in_service: &[InstanceName]) -> Option<MirrorSeen> {
    let (name, pool_name) = (pod.name_any().parse::<InstanceName>().ok()?, pool.name_any());
    let workload = Workload { component: Component::Mirror, namespace: "", name: &pool_name };
    let ordinal = workload.ordinal(name.as_str())?;
    let status = pod.status.as_ref();
    let condition = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let open = condition.into_iter().any(|one| one.type_ == ACTIVE_GATE && one.status == "True");
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let ended = containers.is_some_and(|all| {
        !all.is_empty() && all.iter().all(|one| one.state.as_ref().is_some_and(|state| state.terminated.is_some()))
    });
    Some(MirrorSeen {
        open,
        in_service: in_service.contains(&name),
        ended,
        leaving: ordinal >= pool.spec.replicas || pod.metadata.deletion_timestamp.is_some(),
        name,
    })
}

/// Lists whom the EndpointSlices of the pool's Service name. kube-proxy falls back to endpoints that are ending when
/// there are no others, hence `serving` counts as `ready` does.
fn in_service(world: &World, pool: &MirrorPool) -> Vec<InstanceName> {
    let (namespace, service) = (pool.namespace(), http_service(&pool.name_any()));
    let slices = world.slices.find(|slice| {
        slice.namespace() == namespace && slice.labels().get("kubernetes.io/service-name") == Some(&service)
    });
    let mut names = Vec::new();
    for endpoint in slices.iter().flat_map(|slice| slice.endpoints.iter()) {
        let serves = endpoint.conditions.as_ref().is_none_or(|conditions| {
            conditions.ready.unwrap_or(true) || conditions.serving.or(conditions.ready).unwrap_or(true)
        });
        let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.as_ref());
        names.extend(pod.filter(|_| serves).and_then(|name| name.parse().ok()));
    }
    names
}
