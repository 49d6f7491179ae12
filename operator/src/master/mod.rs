//! SshMaster: observe -> validate -> build -> apply -> report.

mod build;
mod observe;
mod report;
mod roles;
mod rollout;
mod steps;
#[cfg(test)]
mod tests;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use crds::{Promotion, SshMaster};
use k8s_openapi::jiff::Timestamp;

use crate::apply::{Hand, Owner};
use crate::context::Context;
use crate::events::EventReason;
use crate::metrics;
use crate::problem::{Class, Problem};
use crate::queue::decide::Outcome;
use crate::unreadable;
use crate::world::Key;
use crate::world::cache::Name;
use observe::Observed;
use rollout::decide::Step;
pub use steps::{holding, label};

/// Also without a sign: certificates are renewed in time.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// While pods are being replaced.
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(10);
/// A status that differs only in how long the log is.
const LOG_AGAIN: Duration = Duration::from_secs(10);

pub async fn reconcile(context: &Context, name: &Name) -> Outcome {
    let master = context.world.masters.get(name).filter(|master| master.metadata.deletion_timestamp.is_none());
    let Some(master) = master else {
        if context.world.masters.is_unreadable(name) {
            return unreadable::look::<SshMaster>(context, &Key::Master(name.clone())).await;
        }
        metrics::told_of_master(|metrics| &metrics.needs_human, name, None);
        context.drop_link(name);
        context.world.named_secrets.name(&context.client, &context.queue, name, &[]);
        return Outcome::Done;
    };
    let looked = look(context, &master).await;
    let class = looked.as_ref().err().map(|problem| problem.class);
    // An API server that fails for a moment has mended nothing.
    if !matches!(class, Some(Class::Retry | Class::Behind)) {
        metrics::told_of_master(|metrics| &metrics.needs_human, name, Some(class == Some(Class::Human)));
    }
    looked.unwrap_or_else(|problem| {
        problem.log(&Key::Master(name.clone()));
        problem.outcome()
    })
}

async fn look(context: &Context, master: &Arc<SshMaster>) -> Result<Outcome, Problem> {
    let observed = observe::observe(context, master.clone()).await?;
    let done = match serve(context, &observed).await {
        Ok(()) if context.world.masters.is_unreadable(&observed.name) => {
            return Ok(unreadable::look::<SshMaster>(context, &Key::Master(observed.name.clone())).await);
        }
        Ok(()) if observed.master.spec.suspend => Ok(Done::default()),
        Ok(()) => act(context, &observed).await,
        Err(problem) => Err(problem),
    };
    let done = match done {
        Err(problem) if problem.class == Class::Behind => return Err(problem),
        done => done,
    };
    // What was written is seen at once.
    let observed = observe::observe(context, master.clone()).await?;
    let again = report(context, &observed, &done).await?;
    done.map(|done| Outcome::Again(done.again().min(again.unwrap_or(LOOK_AGAIN))))
}

/// Done, as far as the report tells it.
#[derive(Default)]
struct Done {
    wrote: bool,
    rollout: Option<String>,
    host_keys: Vec<String>,
}

impl Done {
    fn again(&self) -> Duration {
        if self.wrote || self.rollout.is_some() { LOOK_AGAIN_SOON } else { LOOK_AGAIN }
    }
}

/// Serves what runs, whatever is amiss with the resource, and also while it is suspended.
async fn serve(context: &Context, observed: &Observed) -> Result<(), Problem> {
    // While there is no register, who was master goes on.
    if observed.register.is_some() {
        steps::label(context, &observed.name, &observed.pods, observed.holder()).await?;
    }
    steps::link(context, observed)
}

async fn act(context: &Context, observed: &Observed) -> Result<Done, Problem> {
    context.world.must_know_pools(&observed.name.namespace)?;
    validate::validate(observed)?;
    let lost = || validate::lost_register(context.notes.get(&observed.name).trouble);
    if observed.is_register_lost() && observed.stateful_set.is_some() {
        return Err(lost());
    }
    let Some(owner) = Owner::of(observed.master.as_ref()) else { return Ok(Done::default()) };
    let owner = owner.given(observed.all_pools.clone());
    let hand = context.hand(&owner);
    let foundations = steps::foundations(context, observed, &hand).await?;
    let host_keys = steps::fingerprints(observed, &foundations.host_keys);
    let made = steps::certificates(context, observed, &foundations.authority)?;
    let objects = build::build(observed, made, &context.maker)?;
    let mut wrote = apply(context, &hand, objects).await?;
    if wrote {
        // They may have waited for its certificates.
        let pool = |pool: &observe::Pool| Key::Pool(Name::of(pool.pool.as_ref()));
        observed.pools.iter().for_each(|one| context.queue.retry(pool(one)));
    }
    if observed.is_register_lost() {
        return Err(lost());
    }
    // With a certificate that was made or renewed just now.
    steps::link(context, observed)?;
    wrote |= steps::settings(context, observed, &hand).await?;
    wrote |= steps::grow(context, observed, &hand).await?;
    hand.must_be_at_peace()?;
    let rollout = match steps::rollout(context, observed) {
        Step::Done => None,
        Step::Wait(reason) => Some(reason),
        Step::Switchover { generation } => {
            context.notes.change(&observed.name, |note| note.roll = Some(generation));
            Some("the master is to be replaced: a standby takes its place first".to_owned())
        }
        Step::Restart { pod } => {
            let note = format!("{pod} is replaced, because its template has changed");
            steps::restart(observed, &hand, &pod).await?;
            context.events.tell(observed.master.as_ref(), EventReason::Restarting, note.clone()).await;
            Some(note)
        }
    };
    Ok(Done { wrote, rollout, host_keys })
}

/// In the order in which pods need them; then what is not wanted any more goes.
async fn apply(context: &Context, hand: &Hand<'_>, objects: build::Objects) -> Result<bool, Problem> {
    let build::Objects {
        account,
        role,
        binding,
        config,
        certificates,
        operator_certificate,
        headless,
        front,
        budget,
        network,
        stateful_set,
    } = objects;
    let world = &context.world;
    let mut wrote = hand.apply(&world.accounts, &account).await?;
    wrote |= hand.apply(&world.roles, &role).await?;
    wrote |= hand.apply(&world.bindings, &binding).await?;
    wrote |= hand.apply(&world.config_maps, &config).await?;
    wrote |= hand.apply(&world.secrets, &certificates).await?;
    wrote |= hand.apply(&world.secrets, &operator_certificate).await?;
    wrote |= hand.apply(&world.services, &headless).await?;
    wrote |= hand.apply(&world.services, &front).await?;
    wrote |= hand.apply(&world.budgets, &budget).await?;
    wrote |= hand.apply(&world.policies, &network).await?;
    wrote |= hand.apply(&world.stateful_sets, &stateful_set).await?;
    hand.remove_others(&world.services, &[&headless.name, &front.name]).await?;
    hand.remove_others(&world.config_maps, &[&config.name]).await?;
    hand.remove_others(&world.budgets, &[&budget.name]).await?;
    hand.remove_others(&world.policies, &[&network.name]).await?;
    hand.remove_others(&world.stateful_sets, &[&stateful_set.name]).await?;
    hand.remove_others(&world.bindings, &[&binding.name]).await?;
    hand.remove_others(&world.roles, &[&role.name]).await?;
    hand.remove_others(&world.accounts, &[&account.name]).await?;
    let authority = crate::names::ca_secret(&hand.owner.reference.name);
    hand.remove_others(&world.secrets, &[&certificates.name, &operator_certificate.name, &authority]).await?;
    Ok(wrote)
}

/// None: nothing is left to be reported later.
async fn report(
    context: &Context,
    observed: &Observed,
    done: &Result<Done, Problem>,
) -> Result<Option<Duration>, Problem> {
    let key = Key::Master(observed.name.clone());
    let before = observed.master.status.clone().unwrap_or_default();
    // The link is new: what the master says comes soon, and wakes.
    if done.is_ok() && observed.view.is_none() && before.observed_generation.is_some() {
        return Ok(Some(LOOK_AGAIN_SOON));
    }
    let note = context.notes.get(&observed.name);
    let status = report::report(observed, &before, &note, done.as_ref(), Timestamp::now());
    if status == before {
        return Ok(None);
    }
    let only_log = crds::SshMasterStatus { log: before.log.clone(), ..status.clone() } == before;
    if only_log && before.log.is_some() && context.reported(&key).is_some_and(|ago| ago < LOG_AGAIN) {
        return Ok(Some(LOG_AGAIN));
    }
    context.report(&context.world.masters, key, observed.master.as_ref(), &status).await?;
    // Not by `status.master`, which names nobody in between.
    if status.last_promotion != before.last_promotion
        && let Some(Promotion { from: Some(from), to, .. }) = &status.last_promotion
    {
        let note = format!("{to} is master after {from}");
        context.events.tell(observed.master.as_ref(), EventReason::MasterChanged, note).await;
    }
    if let Err(problem) = done {
        context.events.tell_problem(observed.master.as_ref(), &before.conditions, problem).await;
    }
    Ok(None)
}
