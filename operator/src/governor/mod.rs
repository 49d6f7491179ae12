//! Promotion on Kubernetes. Every operator looks, elected or not, because the elected one may be gone with the
//! master's node; whoever acts does so by conditional writes of the register.

mod ending;
mod wish;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crds::{SshMaster, StorageMode};
use failover::driver::{self, Driver, LOOK, Watch};
use failover::{InstanceReport, Memory, Observed, Policy, Step, Wish, decide};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use protocol::{Generation, InstanceName};
use register::{LeaseRegister, Register, Versioned};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use transport::{Identity, Target};

use crate::context::Context;
use crate::events::EventReason;
use crate::link::write_certificate;
use crate::master;
use crate::names::{Component, Workload, is_selected, operator_secret};
use crate::world::Watches;
use crate::world::cache::Name;

/// How often it is seen which SshMasters there are.
const MASTERS_EVERY: Duration = Duration::from_secs(1);

/// What promotions leave for the status, and what a rollout asks for.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Why the last promotion was made, and what proves that the old master writes no more.
    pub reason: Option<String>,
    pub proof: Option<String>,
    pub begun: Option<Instant>,
    pub seconds: Option<u64>,
    /// Why there is none though there should be.
    pub trouble: Option<String>,
    /// A rollout wants another master than the one of this generation.
    pub roll: Option<u64>,
}

#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<HashMap<Name, Note>>>);

impl Notes {
    pub fn get(&self, master: &Name) -> Note {
        self.lock().get(master).cloned().unwrap_or_default()
    }

    pub fn change(&self, master: &Name, change: impl FnOnce(&mut Note)) {
        change(self.lock().entry(master.clone()).or_default());
    }

    fn forget(&self, master: &Name) {
        self.lock().remove(master);
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task for each SshMaster. Never ends.
pub async fn run(context: Context, watches: Watches) -> std::convert::Infallible {
    let mut tasks: HashMap<Name, JoinHandle<()>> = HashMap::new();
    loop {
        tokio::time::sleep(MASTERS_EVERY).await;
        if !watches.are_listed() {
            continue;
        }
        let wanted: BTreeSet<Name> = context.world.masters.names().into_iter().collect();
        tasks.retain(|name, task| {
            let keep = wanted.contains(name) && !task.is_finished();
            if !keep {
                task.abort();
                context.notes.forget(name);
            }
            keep
        });
        for name in wanted {
            tasks.entry(name.clone()).or_insert_with(|| tokio::spawn(govern(context.clone(), name)));
        }
    }
}

/// Ends when the certificate with which instances are asked is not there or cannot be used; it is begun again then.
async fn govern(context: Context, name: Name) {
    let secret = Name::new(&*name.namespace, operator_secret(&name.name));
    let Ok(folder) = tempfile::tempdir() else { return };
    let Some(certificate) = context.world.secrets.get(&secret) else { return };
    let identity =
        write_certificate(folder.path(), &certificate).ok().and_then(|()| Identity::open(folder.path()).ok());
    let Some(identity) = identity else { return };
    let register: Register = LeaseRegister::with(context.client.clone(), &name.namespace, &name.name).into();
    let driver = Driver { register, client: transport::Client::new(identity) };
    let (mut observed, mut memory, started) = (Observed::default(), Memory::default(), Instant::now());
    let (mut said, mut drained) = (None, None);
    let mut watch = Watch::start(&driver.client, Vec::new());
    loop {
        let Some(master) = context.world.masters.get(&name) else { return };
        let Some(renewed) = context.world.secrets.get(&secret) else { return };
        // The identity reads the files again when they have changed.
        if write_certificate(folder.path(), &renewed).is_err() {
            return;
        }
        let instances = targets(&master, &name);
        if instances.len() < 2 || master.spec.suspend || master.metadata.deletion_timestamp.is_some() {
            return tokio::time::sleep(MASTERS_EVERY).await;
        }
        if watch.instances() != instances {
            watch = Watch::start(&driver.client, instances.clone());
        }
        tokio::time::sleep(LOOK).await;
        observed.answers = watch.answers(started);
        observe(&context, &name, &master, &mut observed).await;
        observed.wish = wished(&context, &name, &master, &observed, drained);
        let step = decide(started.elapsed(), &observed, &policy(&master), &mut memory);
        if said.as_ref() != Some(&step) {
            driver::tell(&step);
            note(&context, &name, &master, &step).await;
            said = Some(step.clone());
        }
        let acted = driver.act(&step, &instances).await;
        if acted.drained {
            drained = observed.register.as_ref().map(|register| register.value.generation.0);
        }
        if acted.written {
            made(&context, &name, &master, &step).await;
        }
    }
}

fn targets(master: &SshMaster, name: &Name) -> Vec<Target> {
    let workload = workload(name);
    let target = |ordinal: u32| {
        let instance = workload.instance(ordinal)?;
        Some(Target::new(instance.clone(), workload.admin(instance.as_str())))
    };
    (0..master.spec.instances).filter_map(target).collect()
}

fn workload(name: &Name) -> Workload<'_> {
    Workload { component: Component::Ssh, namespace: &name.namespace, name: &name.name }
}

fn policy(master: &SshMaster) -> Policy {
    let failover = &master.spec.failover;
    Policy {
        enabled: failover.enabled,
        detection: Duration::from_secs(failover.detection_seconds.into()),
        min_interval: Duration::from_secs(failover.min_interval.seconds),
        shared: is_shared(master).then(|| Duration::from_secs(failover.lease.duration.seconds)),
    }
}

fn is_shared(master: &SshMaster) -> bool {
    master.spec.storage.mode == StorageMode::Shared
}

/// The register and the pods as the watches have them: what is old there makes a write fail, and nothing else.
async fn observe(context: &Context, name: &Name, master: &SshMaster, observed: &mut Observed) {
    let lease = context.world.registers.get(name);
    observed.register = lease.and_then(|lease| match register::of_lease(&lease) {
        Ok(register) => Some(register),
        Err(reason) => {
            tracing::error!(master = %name, reason, "the register cannot be read: nobody can be promoted");
            None
        }
    });
    let word = master.annotations().get(wish::FENCED);
    observed.fenced = word.and_then(|word| word.parse().ok()).map(Generation);
    if is_shared(master) {
        observed.ended = match context.world.registers.get(name) {
            Some(lease) => ending::ended(context, name, &lease).await.into_iter().collect(),
            None => BTreeSet::new(),
        };
        return;
    }
    let pods = pods(context, name);
    let ended = (0..master.spec.instances).filter_map(|ordinal| workload(name).instance(ordinal)).filter(|instance| {
        let pod = pods.iter().find(|pod| pod.name_any() == instance.as_str());
        pod.is_none_or(|pod| has_ended(pod))
    });
    observed.ended = ended.collect();
}

fn pods(context: &Context, name: &Name) -> Vec<Arc<Pod>> {
    context.world.pods.find(|pod| {
        pod.namespace().as_ref() == Some(&name.namespace)
            && is_selected(Some(pod.labels()), Component::Ssh, &name.name)
    })
}

/// Its container has ended and is not started again yet.
fn has_ended(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    containers.is_some_and(|containers| {
        containers.iter().any(|container| {
            let state = container.state.as_ref();
            let waits = state.is_some_and(|state| state.waiting.is_some());
            let before = container.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
            state.is_some_and(|state| state.terminated.is_some()) || (waits && before)
        })
    })
}

fn wished(
    context: &Context,
    name: &Name,
    master: &SshMaster,
    observed: &Observed,
    drained: Option<u64>,
) -> Option<Wish> {
    let Versioned { value: state, .. } = observed.register.as_ref()?;
    let holder = state.master.as_ref()?;
    let going = pods(context, name)
        .iter()
        .any(|pod| pod.name_any() == holder.as_str() && pod.metadata.deletion_timestamp.is_some());
    let roll = context.notes.get(name).roll == Some(state.generation.0);
    let asked = master.annotations().get(wish::PROMOTE).map(String::as_str);
    let waits = |(name, (_, report)): (&'_ InstanceName, &(_, InstanceReport))| {
        (report.released && name != holder).then(|| name.clone())
    };
    let next = match is_shared(master) {
        true => observed.answers.iter().find_map(waits),
        false => state.in_sync.first().cloned(),
    };
    let to = wish::decide(state, asked, going || roll, next.as_ref())?;
    Some(Wish { to, drained: drained == Some(state.generation.0) })
}

/// What the status and events say of a step that is decided.
async fn note(context: &Context, name: &Name, master: &SshMaster, step: &Step) {
    let trouble = match step {
        Step::Wait(trouble) => Some(trouble.to_string()),
        Step::Nothing
        | Step::Drain(_)
        | Step::Freeze { .. }
        | Step::Seal { .. }
        | Step::Name { .. }
        | Step::Withdraw { .. } => None,
    };
    let changed = context.notes.get(name).trouble != trouble;
    context.notes.change(name, |note| note.trouble.clone_from(&trouble));
    if changed {
        context.queue.retry(crate::world::Key::Master(name.clone()));
        if let Some(trouble) = trouble {
            context.events.tell_of(&master.object_ref(&()), EventReason::PromotionBlocked, trouble).await;
        }
    }
}

/// What the status and events say of a write that was made; labels follow at once, also without an elected operator.
async fn made(context: &Context, name: &Name, master: &SshMaster, step: &Step) {
    let about = master.object_ref(&());
    match step {
        Step::Freeze { why, .. } => {
            context.notes.change(name, |note| {
                (note.reason, note.begun) = (Some(why.to_string()), Some(Instant::now()));
                (note.proof, note.seconds) = (None, None);
            });
            label(context, name, None).await;
            context.events.tell_of(&about, EventReason::PromotionBegun, why.to_string()).await;
        }
        Step::Name { state, proof, .. } => {
            context.notes.change(name, |note| {
                note.proof = Some(proof.to_string());
                note.seconds = note.begun.map(|begun| begun.elapsed().as_secs().saturating_add(1));
            });
            let holder = state.master.as_ref().map(InstanceName::as_str);
            label(context, name, holder).await;
            let sentence = format!("{} is named master: {proof}", holder.unwrap_or("nobody"));
            context.events.tell_of(&about, EventReason::Promoted, sentence).await;
        }
        Step::Withdraw { .. } => {
            let sentence = "nobody could be sealed: the old master is named again".to_owned();
            context.events.tell_of(&about, EventReason::PromotionWithdrawn, sentence).await;
        }
        Step::Nothing | Step::Wait(_) | Step::Drain(_) | Step::Seal { .. } => {}
    }
}

async fn label(context: &Context, name: &Name, holder: Option<&str>) {
    if let Err(problem) = master::label(context, name, &pods(context, name), holder).await {
        tracing::warn!(master = %name, problem = problem.sentence, "labels follow later");
    }
}
