//! Promotion on Kubernetes. Every operator looks, elected or not, because the elected one may be gone with the
//! master's node; whoever acts does so by conditional writes of the register.

mod ending;
mod idle;
mod lost;
#[cfg(test)]
mod tests;
mod wish;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crds::{SshMaster, StorageMode};
use failover::driver::{Driver, LOOK, Telling, Watch};
use failover::{Memory, Observed, Policy, Step, Wish, decide};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config, Resource, ResourceExt};
use protocol::{Generation, InstanceName};
use register::{LeaseRegister, Versioned};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use transport::{Identity, Target};

use self::ending::Ending;
use self::idle::Idle;
use self::lost::Loss;
use crate::context::Context;
use crate::events::EventReason;
use crate::link::write_certificate;
use crate::master;
use crate::names::{Component, Workload, operator_secret};
use crate::world::Watches;
use crate::world::cache::Name;

/// How often it is seen which SshMasters there are.
const MASTERS_EVERY: Duration = Duration::from_secs(1);
/// For one request and its answer: a promotion has seconds, and the next request may find an API server that lives.
const REQUEST: Duration = Duration::from_secs(2);
/// For what is told of a step, which no step waits for.
const TELLING: Duration = Duration::from_secs(10);

/// With which registers are written. It does not repeat requests by itself: a write that is sent twice reads its own
/// first success as somebody else's.
pub async fn client() -> Result<Client, kube::Error> {
    client_of(Config::infer().await.map_err(kube::Error::InferConfig)?)
}

fn client_of(mut config: Config) -> Result<Client, kube::Error> {
    (config.default_retry, config.connect_timeout) = (false, Some(REQUEST));
    Client::try_from(config)
}

/// One task for each SshMaster. Never ends.
pub async fn run(context: Context, client: Client, watches: Watches) -> std::convert::Infallible {
    let mut tasks: HashMap<Name, JoinHandle<()>> = HashMap::new();
    loop {
        tokio::time::sleep(MASTERS_EVERY).await;
        if !watches.are_listed() {
            continue;
        }
        let wanted: BTreeSet<Name> = context.world.masters.names().into_iter().collect();
        tasks.retain(|name, task| {
            if !wanted.contains(name) {
                task.abort();
            }
            // Only then it says nothing more.
            let ended = task.is_finished();
            if ended {
                context.notes.forget(name);
            }
            !ended
        });
        for name in wanted {
            tasks.entry(name.clone()).or_insert_with(|| tokio::spawn(govern(context.clone(), client.clone(), name)));
        }
    }
}

/// Ends when the certificate with which instances are asked is not there or cannot be used; it is begun again then.
async fn govern(context: Context, client: Client, name: Name) {
    let secret = Name::new(&*name.namespace, operator_secret(&name.name));
    let Ok(folder) = tempfile::tempdir() else { return };
    let Some(certificate) = context.world.secrets.get(&secret) else { return };
    let identity =
        write_certificate(folder.path(), &certificate).ok().and_then(|()| Identity::open(folder.path()).ok());
    let Some(identity) = identity else { return };
    let register = LeaseRegister::with(client.clone(), &name.namespace, &name.name).within(REQUEST);
    let driver = Driver { register: register.into(), client: transport::Client::new(identity) };
    let mut registers = Registers { client: client.clone(), behind: false };
    let (mut observed, mut memory, started) = (Observed::default(), Memory::default(), Instant::now());
    let (mut idle, mut telling, mut drained, mut loss) = (Idle::default(), Telling::default(), None, Loss::default());
    let mut unreadable = None;
    let mut watch = Watch::start(&driver.client, Vec::new());
    loop {
        let Some(master) = context.world.masters.get(&name) else { return };
        let master = master::holding(master, context.world.registers.get(&name).as_deref());
        let Some(renewed) = context.world.secrets.get(&secret) else { return };
        // The identity reads the files again when they have changed.
        if write_certificate(folder.path(), &renewed).is_err() {
            return;
        }
        let instances = targets(&master, &name);
        let is_lost = lost::is_lost(&context, &name);
        let governed = instances.len() > 1 || is_lost;
        if !governed || master.spec.suspend || master.metadata.deletion_timestamp.is_some() {
            return tokio::time::sleep(MASTERS_EVERY).await;
        }
        if watch.instances() != instances {
            watch = Watch::start(&driver.client, instances.clone());
        }
        tokio::time::sleep(LOOK).await;
        observed.answers = watch.answers(started);
        if is_lost {
            let seen = (started.elapsed(), &observed.answers);
            let why = loss.look(&context, &client, (&name, &master), seen).await;
            note(&context, &name, why);
            telling = Telling::default();
            continue;
        }
        loss = Loss::default();
        let lease = registers.read(&context, &name).await;
        observe(&name, &master, lease.as_deref(), &mut observed, &mut unreadable);
        if is_shared(&master) {
            (observed.ended, observed.gone) = registers.endings(&context, &name, lease.as_deref()).await;
        } else {
            let names = instances.iter().map(|instance| &instance.name);
            idle.look(started.elapsed(), names, &context.world.ssh_pods_of(&name), &mut observed);
        }
        let now = started.elapsed();
        observed.wish = wished(&context, &name, &master, now, &observed, drained);
        let step = decide(now, &observed, &policy(&master), &mut memory);
        if telling.tell(now, &step) {
            blocked(&context, &name, &master, &step);
        }
        let acted = driver.act(&step, &instances).await;
        registers.behind |= matches!(step, Step::Freeze { .. } | Step::Name { .. } | Step::Withdraw { .. });
        if acted.drained {
            drained = observed.register.as_ref().map(|register| register.value.generation.0);
        }
        if acted.written {
            made(&context, &name, &master, &step);
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

/// Where registers are read.
struct Registers {
    client: Client,
    /// A write was tried, won or lost, and the watch has not told what came of it.
    behind: bool,
}

impl Registers {
    /// As the watch has it: what is old there makes a write fail, and nothing else. After a write as it is.
    async fn read(&mut self, context: &Context, name: &Name) -> Option<Arc<Lease>> {
        let watched = context.world.registers.get(name);
        if !self.behind {
            return watched;
        }
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &name.namespace);
        let read = match timeout(REQUEST, leases.get_opt(&name.name)).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => {
                tracing::warn!(master = %name, %error, "what came of the write is not known");
                return None;
            }
            Err(_) => return None,
        };
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        self.behind = read.as_ref().map(version) != watched.as_deref().map(version);
        read.map(Arc::new)
    }

    /// Answers who was master last, if its process has ended; or if it is gone.
    async fn endings(
        &self,
        context: &Context,
        name: &Name,
        lease: Option<&Lease>,
    ) -> (BTreeSet<InstanceName>, Option<InstanceName>) {
        let Some(lease) = lease else { return Default::default() };
        let pods = context.world.ssh_pods_of(name);
        match timeout(REQUEST, ending::ended(&self.client, name, lease, &pods)).await {
            Ok(Some((Ending::Ended, holder))) => (BTreeSet::from([holder]), None),
            Ok(Some((Ending::Gone, holder))) => (BTreeSet::new(), Some(holder)),
            Ok(Some((Ending::Unknown, _)) | None) | Err(_) => Default::default(),
        }
    }
}

/// `unreadable`: why the register could not be read the last time, which was said then.
fn observe(
    name: &Name,
    master: &SshMaster,
    lease: Option<&Lease>,
    observed: &mut Observed,
    unreadable: &mut Option<String>,
) {
    let read = lease.map(register::of_lease).transpose();
    let before = std::mem::replace(unreadable, read.as_ref().err().cloned());
    if let Some(reason) = unreadable.as_ref().filter(|reason| before.as_ref() != Some(reason)) {
        tracing::error!(master = %name, reason, "the register cannot be read: nobody can be promoted");
    }
    observed.register = read.unwrap_or_default();
    let word = master.annotations().get(wish::FENCED);
    observed.fenced = word.and_then(|word| word.parse().ok()).map(Generation);
}

fn wished(
    context: &Context,
    name: &Name,
    master: &SshMaster,
    now: Duration,
    observed: &Observed,
    drained: Option<u64>,
) -> Option<Wish> {
    let Versioned { value: state, .. } = observed.register.as_ref()?;
    let is_holder = |name: &str| state.master.as_ref().is_some_and(|holder| holder.as_str() == name);
    let going = context
        .world
        .ssh_pods_of(name)
        .iter()
        .any(|pod| is_holder(&pod.name_any()) && pod.metadata.deletion_timestamp.is_some());
    let roll = context.notes.get(name).roll == Some(state.generation.0);
    let asked = master.annotations().get(wish::PROMOTE).map(String::as_str);
    let to = wish::decide(state, asked, going || roll, &observed.ready(now, is_shared(master)))?;
    Some(Wish { to, drained: drained == Some(state.generation.0) })
}

/// Tells in status and events of a step that is decided.
fn blocked(context: &Context, name: &Name, master: &SshMaster, step: &Step) {
    let trouble = step.trouble().map(ToString::to_string);
    if note(context, name, trouble.clone())
        && let Some(trouble) = trouble
    {
        tell(context, master, EventReason::PromotionBlocked, trouble);
    }
}

/// Notes what the status says is in the way. True: it was something else before.
fn note(context: &Context, name: &Name, trouble: Option<String>) -> bool {
    let changed = context.notes.trouble(name, trouble);
    if changed {
        context.queue.retry(crate::world::Key::Master(name.clone()));
    }
    changed
}

/// Tells in status and events of a write that was made; labels follow at once, also without an elected operator.
fn made(context: &Context, name: &Name, master: &SshMaster, step: &Step) {
    match step {
        Step::Freeze { why, .. } => {
            label(context, name, None);
            tell(context, master, EventReason::PromotionBegun, why.to_string());
        }
        Step::Name { state, proof, .. } => {
            label(context, name, state.master.as_ref());
            let holder = state.master.as_ref().map_or("nobody", InstanceName::as_str);
            tell(context, master, EventReason::Promoted, format!("{holder} is named master: {proof}"));
        }
        Step::Withdraw { .. } => {
            let sentence = "nobody could be sealed: the old master is named again".to_owned();
            tell(context, master, EventReason::PromotionWithdrawn, sentence);
        }
        Step::Nothing | Step::Wait(_) | Step::Drain(_) | Step::Seal { .. } => {}
    }
}

/// In a task of its own, as all that is told: an API server that hangs must not hold the next step up.
fn tell(context: &Context, master: &SshMaster, reason: EventReason, sentence: String) {
    let (events, about) = (context.events.clone(), master.object_ref(&()));
    tokio::spawn(async move {
        let _untold_in_time = timeout(TELLING, events.tell_of(&about, reason, sentence)).await;
    });
}

/// One that comes late finds that the register has another holder, and changes nothing.
fn label(context: &Context, name: &Name, holder: Option<&InstanceName>) {
    let (context, name, holder) = (context.clone(), name.clone(), holder.cloned());
    tokio::spawn(async move {
        let pods = context.world.ssh_pods_of(&name);
        let labelled = master::label(&context, &name, &pods, holder.as_ref().map(InstanceName::as_str));
        match timeout(TELLING, labelled).await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => tracing::warn!(master = %name, problem = problem.sentence, "labels follow later"),
            Err(_) => tracing::warn!(master = %name, "labels follow later: the API server does not answer"),
        }
    });
}
