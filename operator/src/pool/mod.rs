//! MirrorPool: observe -> validate -> build -> apply -> report.

mod build;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crds::conditions::Reason;
use crds::{MirrorPool, SshMaster};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::apply::{Owner, Premise};
use crate::certificates::{self, Holder, Leaves};
use crate::context::Context;
use crate::link::view::View;
use crate::metrics;
use crate::names::{Component, Workload, ca_secret, is_selected};
use crate::objects::words;
use crate::problem::{Class, Problem};
use crate::queue::decide::Outcome;
use crate::storage;
use crate::unreadable;
use crate::world::Key;
use crate::world::cache::Name;

/// Also without a sign: certificates are renewed in time.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// While a mirror that is to go still has readers.
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(2);
/// A status that differs only in how far things are.
const LAG_AGAIN: Duration = Duration::from_secs(10);

pub struct Observed {
    pub pool: Arc<MirrorPool>,
    pub name: Name,
    pub master: Option<Arc<SshMaster>>,
    pub stateful_set: Option<Arc<StatefulSet>>,
    pub pods: Vec<Arc<Pod>>,
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
    pub view: Option<Arc<View>>,
    /// Mirrors that readers may be on; None: not known, because nobody has reported yet.
    pub used: Option<Vec<u32>>,
}

impl Observed {
    fn workload(&self) -> Workload<'_> {
        Workload { component: Component::Mirror, namespace: &self.name.namespace, name: &self.name.name }
    }

    fn suspended(&self) -> bool {
        self.master.as_ref().is_some_and(|master| master.spec.suspend)
    }

    /// How many pods there should be now: a mirror that is to go stays until readers have left it.
    fn replicas(&self) -> u32 {
        let wanted = self.pool.spec.replicas;
        let has = self.stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas);
        let has = has.and_then(|has| u32::try_from(has).ok()).unwrap_or(wanted);
        if wanted >= has {
            return wanted;
        }
        match &self.used {
            Some(used) => used.iter().map(|ordinal| ordinal + 1).max().unwrap_or(0).clamp(wanted, has),
            None => has,
        }
    }
}

pub async fn reconcile(context: &Context, name: &Name) -> Outcome {
    if context.world.pools.is_unreadable(name) {
        return unreadable::look::<MirrorPool>(context, &Key::Pool(name.clone())).await;
    }
    let pool = context.world.pools.get(name).filter(|pool| pool.metadata.deletion_timestamp.is_none());
    let Some(pool) = pool else {
        metrics::told_lag(&name.namespace, &name.name, &[]);
        return Outcome::Done;
    };
    if context.world.is_unknown(&name.namespace, &pool.spec.master_ref) {
        return Outcome::Done;
    }
    match look(context, name, &pool).await {
        Ok(outcome) => outcome,
        Err(problem) => {
            problem.log(&Key::Pool(name.clone()));
            problem.outcome()
        }
    }
}

async fn look(context: &Context, name: &Name, pool: &Arc<MirrorPool>) -> Result<Outcome, Problem> {
    let observed = observe(context, name, pool);
    let done = if observed.suspended() { Ok(LOOK_AGAIN) } else { act(context, &observed).await };
    let done = match done {
        Err(problem) if problem.class == Class::Behind => return Err(problem),
        done => done,
    };
    let observed = observe(context, name, pool);
    let again = report(context, &observed, done.as_ref().err()).await?;
    match done {
        Ok(wait) => Ok(Outcome::Again(again.map_or(wait, |again| again.min(wait)))),
        Err(problem) => {
            problem.log(&Key::Pool(name.clone()));
            Ok(problem.outcome())
        }
    }
}

fn observe(context: &Context, name: &Name, pool: &Arc<MirrorPool>) -> Observed {
    let world = &context.world;
    let workload = Workload { component: Component::Mirror, namespace: &name.namespace, name: &name.name };
    let ours = |labels: &std::collections::BTreeMap<String, String>, namespace: Option<String>| {
        namespace.as_ref() == Some(&name.namespace) && is_selected(Some(labels), Component::Mirror, &name.name)
    };
    let master = Name::new(name.namespace.clone(), pool.spec.master_ref.name.clone());
    let link = context.link(&master);
    let pods = world.pods.find(|pod| ours(pod.labels(), pod.namespace()));
    let used = link.as_ref().filter(|link| link.view().is_some()).map(|link| {
        let used = |pod: &Arc<Pod>| {
            let name = pod.name_any();
            let on_it = name.parse().is_ok_and(|name| link.is_used(&name));
            workload.ordinal(&name).filter(|_| on_it)
        };
        pods.iter().filter_map(used).collect()
    });
    Observed {
        stateful_set: world.stateful_sets.get(&Name::new(name.namespace.clone(), workload.object())),
        claims: world.claims.find(|claim| ours(claim.labels(), claim.namespace())),
        view: link.and_then(|link| link.view()),
        master: world.masters.get(&master),
        name: name.clone(),
        pool: pool.clone(),
        pods,
        used,
    }
}

fn validate(observed: &Observed) -> Result<&SshMaster, Problem> {
    let (spec, workload) = (&observed.pool.spec, observed.workload());
    if workload.instance(spec.replicas).is_none() {
        let sentence = format!(
            "metadata.name: '{}' cannot be part of a pod's name: a-z, 0-9 and '-' are allowed, at most 50 characters",
            workload.name
        );
        return Err(Problem::user(Reason::SpecInvalid, sentence));
    }
    let Some(master) = &observed.master else {
        let named = &spec.master_ref.name;
        let sentence = format!("spec.masterRef.name: there is no SshMaster '{named}' in this namespace");
        return Err(Problem::user(Reason::MasterNotFound, sentence));
    };
    words::validate(&spec.pods(), &spec.service.annotations)?;
    storage::must_not_shrink(&spec.storage, &observed.claims)?;
    Ok(master)
}

async fn act(context: &Context, observed: &Observed) -> Result<Duration, Problem> {
    let master = validate(observed)?;
    let Some(owner) = Owner::of(observed.pool.as_ref()) else { return Ok(LOOK_AGAIN) };
    let owner = owner.given(Premise::one(&observed.pool.spec.master_ref.name, observed.master.as_deref()));
    let hand = context.hand(&owner);
    let replicas = observed.replicas();
    let certificates = issue(context, observed, replicas)?;
    let objects = build::build(observed, master, certificates, replicas, &context.maker)?;
    let build::Objects { config, certificates, headless, front, budget, network, stateful_set } = objects;
    let world = &context.world;
    hand.apply(&world.config_maps, &config).await?;
    hand.apply(&world.secrets, &certificates).await?;
    hand.apply(&world.services, &headless).await?;
    hand.apply(&world.services, &front).await?;
    hand.apply(&world.budgets, &budget).await?;
    hand.apply(&world.policies, &network).await?;
    hand.apply(&world.stateful_sets, &stateful_set).await?;
    hand.remove_others(&world.services, &[&headless.name, &front.name]).await?;
    hand.remove_others(&world.config_maps, &[&config.name]).await?;
    hand.remove_others(&world.secrets, &[&certificates.name]).await?;
    hand.remove_others(&world.budgets, &[&budget.name]).await?;
    hand.remove_others(&world.policies, &[&network.name]).await?;
    hand.remove_others(&world.stateful_sets, &[&stateful_set.name]).await?;
    storage::grow(context, &observed.pool.spec.storage, &observed.claims, &hand).await?;
    hand.must_be_at_peace()?;
    Ok(if replicas > observed.pool.spec.replicas { LOOK_AGAIN_SOON } else { LOOK_AGAIN })
}

fn issue(context: &Context, observed: &Observed, replicas: u32) -> Result<Leaves, Problem> {
    let (workload, namespace) = (observed.workload(), &observed.name.namespace);
    let named = &observed.pool.spec.master_ref.name;
    let authority = context.world.secrets.get(&Name::new(namespace.clone(), ca_secret(named)));
    let Some(authority) = authority else {
        let sentence = format!("SshMaster '{named}' has no certificates yet");
        return Err(Problem::retry(Reason::MasterNotReady, sentence));
    };
    let authority = certificates::authority(&authority)?;
    let holder = |ordinal: u32| {
        let name = workload.instance(ordinal)?;
        Some(Holder { addresses: vec![workload.host(name.as_str()), "127.0.0.1".to_owned()], name })
    };
    let holders: Vec<Holder> = (0..replicas).filter_map(holder).collect();
    let found = context.world.secrets.get(&Name::new(namespace.clone(), workload.tls_secret()));
    certificates::leaves(&authority, found.as_deref(), &holders, SystemTime::now())
}

async fn report(
    context: &Context,
    observed: &Observed,
    problem: Option<&Problem>,
) -> Result<Option<Duration>, Problem> {
    let key = Key::Pool(observed.name.clone());
    let before = observed.pool.status.clone().unwrap_or_default();
    report::tell_lag(observed);
    let status = report::report(observed, &before, problem, Timestamp::now());
    if status == before {
        return Ok(None);
    }
    let only_lag = report::without_lag(&status) == report::without_lag(&before);
    if only_lag && context.reported(&key).is_some_and(|ago| ago < LAG_AGAIN) {
        return Ok(Some(LAG_AGAIN));
    }
    context.report(&context.world.pools, key, observed.pool.as_ref(), &status).await?;
    if let Some(problem) = problem {
        context.events.tell_problem(observed.pool.as_ref(), &before.conditions, problem).await;
    }
    Ok(None)
}
