//! Steps that an SshMaster needs beside its objects: what is made once, labels, restarts, volumes that grow, the link.

use std::sync::Arc;
use std::time::SystemTime;

use crds::SshMaster;
use crds::conditions::Reason;
use interface::SUPERVISOR;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use register::State;
use serde_json::json;
use transport::Target;

use super::build::Made;
use super::observe::{Observed, Pool};
use super::roles::decide as roles;
use super::rollout::decide::{self as rollout, Step};
use crate::apply::{Hand, is_absent, refused};
use crate::certificates::{self, Data, Holder};
use crate::context::Context;
use crate::link::Link;
use crate::metrics;
use crate::names::{Component, FIELD_MANAGER, ROLE, Workload, ca_secret, host_keys_secret, labels, operator_secret};
use crate::problem::Problem;
use crate::storage;
use crate::world::cache::Name;

/// As many as spec.instances allows.
const MOST_INSTANCES: u32 = 3;

/// Foundations that are made once and stay.
pub struct Foundations {
    pub authority: Arc<Secret>,
    /// Generated, or the one that the resource names.
    pub host_keys: Arc<Secret>,
}

/// Host keys, the register and a shared volume have no owner: they stay, as all volumes do, when the resource goes,
/// and so clients meet the same host, and instances the same master, when it comes again.
pub async fn foundations(context: &Context, observed: &Observed, hand: &Hand<'_>) -> Result<Foundations, Problem> {
    let (world, workload) = (&context.world, observed.workload());
    let name = |object: String| Name::new(workload.namespace, object);
    let metadata = |object: &Name| ObjectMeta {
        name: Some(object.name.clone()),
        namespace: Some(object.namespace.clone()),
        labels: Some(labels(workload.component, workload.name)),
        ..ObjectMeta::default()
    };
    let secret =
        |object: &Name, data: Data| Secret { metadata: metadata(object), data: Some(data), ..Secret::default() };
    let authority = name(ca_secret(workload.name));
    let make = || {
        let mut made = secret(&authority, certificates::new_authority(SystemTime::now())?);
        made.metadata.owner_references = Some(vec![hand.owner.reference.clone()]);
        Ok(made)
    };
    let authority = hand.get_or_make(&world.secrets, &authority, make).await?;
    let host_keys = match &observed.named_host_keys {
        Some(named) => named.clone(),
        None => {
            let object = name(host_keys_secret(workload.name));
            hand.get_or_make(&world.secrets, &object, || Ok(secret(&object, new_host_keys()?))).await?
        }
    };
    let register = observed.name.clone();
    if !observed.is_register_lost() {
        hand.get_or_make(&world.registers, &register, || Ok(new_register(observed, metadata(&register)))).await?;
    }
    if observed.is_shared() {
        // After the register: one that is missing while there is a volume is lost.
        let claim = name(workload.shared_claim());
        let make = || Ok(storage::shared_claim(&observed.master.spec.storage, metadata(&claim)));
        hand.get_or_make(&world.claims, &claim, make).await?;
    }
    Ok(Foundations { authority, host_keys })
}

fn new_host_keys() -> Result<Data, Problem> {
    let keys = ssh_server::generate_host_keys()
        .map_err(|error| Problem::human(Reason::SecretInvalid, format!("host keys cannot be made: {error}")))?;
    Ok(keys.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).collect())
}

/// Generation 0: the first instance takes the first one when it opens.
fn new_register(observed: &Observed, metadata: ObjectMeta) -> Lease {
    let workload = observed.workload();
    let first = if observed.is_shared() { observed.master.spec.instances } else { 1 };
    let in_sync = (first..observed.master.spec.instances).filter_map(|ordinal| workload.instance(ordinal)).collect();
    register::to_lease(metadata, &State { master: workload.instance(0), in_sync, ..State::default() })
}

/// As it is built for: the pod of the master stays, also when fewer instances are wanted and it is one of the last,
/// until another is master.
pub fn holding(master: Arc<SshMaster>, register: Option<&Lease>) -> Arc<SshMaster> {
    let (namespace, name) = (master.namespace().unwrap_or_default(), master.name_any());
    let workload = Workload { component: Component::Ssh, namespace: &namespace, name: &name };
    let held = register.and_then(holder_or_previous).and_then(|holder| workload.ordinal(holder));
    match held {
        Some(ordinal) if (master.spec.instances..MOST_INSTANCES).contains(&ordinal) => {
            let mut held = SshMaster::clone(&master);
            held.spec.instances = ordinal + 1;
            Arc::new(held)
        }
        _ => master,
    }
}

/// The master, or, while the register names none, the last one.
fn holder_or_previous(register: &Lease) -> Option<&str> {
    let named = |name: &&str| !name.is_empty();
    let holder = register.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).filter(named);
    holder.or_else(|| register.annotations().get(register::PREVIOUS_HOLDER).map(String::as_str))
}

pub fn fingerprints(observed: &Observed, host_keys: &Secret) -> Vec<String> {
    let of = |key: &&str| certificates::text(host_keys, key).and_then(|text| ssh_server::fingerprint(text).ok());
    let found: Vec<String> = ssh_server::HOST_KEY_FILES.iter().filter_map(of).collect();
    if found.is_empty() {
        let master = &observed.name;
        tracing::warn!(%master, "the host keys cannot be read");
    }
    found
}

pub fn certificates(context: &Context, observed: &Observed, authority: &Secret) -> Result<Made, Problem> {
    let (workload, now) = (observed.workload(), SystemTime::now());
    let authority = certificates::authority(authority)?;
    let holder = |ordinal: u32| {
        let name = workload.instance(ordinal)?;
        Some(Holder { addresses: vec![workload.host(name.as_str()), "127.0.0.1".to_owned()], name })
    };
    let holders: Vec<Holder> = (0..observed.master.spec.instances).filter_map(holder).collect();
    let found = |name: String| context.world.secrets.get(&Name::new(workload.namespace, name));
    let supervisor: Vec<Holder> =
        SUPERVISOR.parse().map(|name| Holder { name, addresses: Vec::new() }).into_iter().collect();
    let own = found(operator_secret(workload.name));
    Ok(Made {
        certificates: certificates::leaves(&authority, found(workload.tls_secret()).as_deref(), &holders, now)?,
        operator_certificate: certificates::leaves(&authority, own.as_deref(), &supervisor, now)?,
    })
}

/// An old register would send pushes to the master of before.
async fn must_still_hold(context: &Context, master: &Name, expected: Option<&str>) -> Result<(), Problem> {
    let leases: Api<Lease> = Api::namespaced(context.client.clone(), &master.namespace);
    let register = leases.get_opt(&master.name).await.map_err(refused)?;
    let holder = register.and_then(|lease| lease.spec?.holder_identity).filter(|holder| !holder.is_empty());
    match holder.as_deref() == expected {
        true => Ok(()),
        false => Err(Problem::behind("the register names another master than was heard of")),
    }
}

/// The roles of pods follow the register, whatever else is amiss.
pub async fn label(context: &Context, master: &Name, all: &[Arc<Pod>], holder: Option<&str>) -> Result<(), Problem> {
    let pods: Vec<roles::Pod> = all
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(|pod| roles::Pod { name: pod.name_any(), role: pod.labels().get(ROLE).cloned() })
        .collect();
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &master.namespace);
    let labels = roles::decide(&pods, holder);
    if !labels.is_empty() {
        must_still_hold(context, master, holder).await?;
    }
    for label in labels {
        let uid = all.iter().find(|pod| pod.name_any() == label.pod).and_then(|pod| pod.uid());
        let patch = json!({"metadata": {"uid": uid, "labels": {ROLE: label.role}}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        metrics::wrote("patch", "Pod");
        match api.patch(&label.pod, &parameters, &Patch::Merge(&patch)).await {
            Ok(mut written) => {
                crate::world::metadata(&mut written);
                context.world.pods.put(written);
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(())
}

/// The way to the master, with the certificate that was just made.
pub fn link(context: &Context, observed: &Observed) -> Result<(), Problem> {
    let workload = observed.workload();
    let secret = Name::new(workload.namespace, operator_secret(workload.name));
    let Some(certificate) = context.world.secrets.get(&secret) else { return Ok(()) };
    let target = |ordinal: u32| {
        let name = workload.instance(ordinal)?;
        Some(Target::new(name.clone(), workload.admin(name.as_str())))
    };
    let targets = (0..observed.master.spec.instances).filter_map(target).collect();
    let failed = |error: crate::link::LinkError| Problem::retry(Reason::SecretInvalid, error.to_string());
    if let Some(link) = context.link(&observed.name).filter(|link| link.runs()) {
        return link.update(&certificate, targets).map_err(failed);
    }
    let link = Link::start(observed.name.clone(), &certificate, targets, context.surroundings()).map_err(failed)?;
    context.keep_link(observed.name.clone(), Arc::new(link));
    Ok(())
}

/// Tells the master what holds for all repositories, if it says something else. Nobody restarts for it.
pub async fn settings(context: &Context, observed: &Observed, hand: &Hand<'_>) -> Result<bool, Problem> {
    let (wanted, master) = (observed.master.spec.settings(), &observed.name);
    let said = observed.view.as_ref().filter(|view| view.answers).and_then(|view| view.settings.as_ref());
    let (Some(link), true) = (context.link(master), said.is_some_and(|said| *said != wanted)) else {
        return Ok(false);
    };
    hand.must_be_current().await?;
    match link.put_settings(&context.world, &wanted).await {
        Ok(()) => tracing::info!(%master, settings = ?wanted, "the master has what holds for all repositories"),
        // It is looked at again soon, and whenever the master says something new.
        Err(error) => tracing::warn!(%master, %error, "the master does not take what holds for all repositories"),
    }
    Ok(true)
}

/// Volumes that are to be larger are asked to; their storage class may refuse.
pub async fn grow(context: &Context, observed: &Observed, hand: &Hand<'_>) -> Result<bool, Problem> {
    storage::grow(context, &observed.master.spec.storage, &observed.claims, hand).await
}

pub fn rollout(context: &Context, observed: &Observed) -> Step {
    let set = context.world.stateful_sets.get(&Name::new(&*observed.name.namespace, observed.workload().object()));
    let generation = set.as_ref().and_then(|set| set.metadata.generation);
    let status = set.as_ref().and_then(|set| set.status.as_ref());
    let seen = status.filter(|status| status.observed_generation >= generation);
    let pods: Vec<rollout::Pod> = observed
        .pods
        .iter()
        .map(|pod| rollout::Pod {
            name: pod.name_any(),
            revision: pod.labels().get("controller-revision-hash").cloned().unwrap_or_default(),
            ready: is_ready(pod),
            going: pod.metadata.deletion_timestamp.is_some(),
        })
        .collect();
    rollout::decide(&rollout::State {
        pods: &pods,
        instances: observed.master.spec.instances,
        is_surplus: observed.wanted_instances < observed.master.spec.instances,
        revision: seen.and_then(|status| status.update_revision.as_deref()),
        master: observed.holder(),
        switchover: switchover(observed),
        rolling_pool: rolling(&observed.pools).as_deref(),
    })
}

fn switchover(observed: &Observed) -> Option<rollout::Switchover> {
    let spec = &observed.master.spec;
    let register = register::of_lease(observed.register.as_ref()?).ok()?.value;
    let wanted = spec.instances > 1 && spec.failover.enabled;
    let ready_pod = |name: &str| observed.pods.iter().any(|pod| pod.name_any() == name && is_ready(pod));
    let ready = match observed.is_shared() {
        true => observed.another_is_ready(),
        false => register.in_sync.iter().any(|name| register.disks.contains_key(name) && ready_pod(name.as_str())),
    };
    wanted.then_some(rollout::Switchover { generation: register.generation.0, ready })
}

/// A pool whose mirrors are being replaced.
fn rolling(pools: &[Pool]) -> Option<String> {
    let rolls = |pool: &&Pool| {
        let status = pool.stateful_set.as_ref().and_then(|set| set.status.as_ref());
        status.is_some_and(|status| status.current_revision != status.update_revision)
    };
    pools.iter().find(rolls).map(|pool| pool.pool.name_any())
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// An old list of StatefulSets would have pods replaced that are new already.
async fn must_be_outdated(observed: &Observed, hand: &Hand<'_>, pod: &Pod) -> Result<(), Problem> {
    hand.must_be_current().await?;
    let set = hand.api::<StatefulSet>().get_opt(&observed.workload().object()).await.map_err(refused)?;
    let wanted = set.and_then(|set| set.status?.update_revision);
    match wanted.as_ref() == pod.labels().get("controller-revision-hash") {
        true => Err(Problem::behind(format!("pod '{}' has been replaced already", pod.name_any()))),
        false => Ok(()),
    }
}

/// Deletes a pod, which its StatefulSet makes again as it should be.
pub async fn restart(observed: &Observed, hand: &Hand<'_>, name: &str) -> Result<(), Problem> {
    let Some(pod) = observed.pods.iter().find(|pod| pod.name_any() == name) else { return Ok(()) };
    must_be_outdated(observed, hand, pod).await?;
    let api: Api<Pod> = hand.api();
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    metrics::wrote("delete", "Pod");
    tracing::info!(pod = name, master = %observed.name, "replaced, because its template has changed");
    match api.delete(name, &DeleteParams::default().preconditions(preconditions)).await {
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}
