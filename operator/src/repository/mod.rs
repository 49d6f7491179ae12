//! HgRepository: data on one master, told to it and read from it.

mod import;
mod report;

use std::sync::Arc;
use std::time::Duration;

use crds::conditions::Reason;
use crds::{DeletionPolicy, HgRepository, SshMaster};
use interface::AskError;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use protocol::Offset;
use serde_json::json;

use crate::apply::{Owner, is_absent, refused};
use crate::context::Context;
use crate::events::EventReason;
use crate::link::{Link, MIRRORS_SETTLE};
use crate::metrics;
use crate::names::{ABANDON, FIELD_MANAGER, FINALIZER};
use crate::problem::{Class, Problem};
use crate::queue::decide::Outcome;
use crate::unreadable;
use crate::world::Key;
use crate::world::cache::Name;

/// While the master fills it from elsewhere.
const IMPORT_AGAIN: Duration = Duration::from_secs(2);

/// The master's next word wakes; this is for when it does not come: for a new repository, and for one that mirrors are
/// slow to follow.
const MADE_WITHIN: Duration = Duration::from_secs(5);
const PUBLISHED_WITHIN: Duration = Duration::from_millis(150);

pub struct Observed {
    pub repository: Arc<HgRepository>,
    pub name: Name,
    pub master: Option<Arc<SshMaster>>,
    pub link: Option<Arc<Link>>,
    /// How many its pools are to have.
    pub mirrors: u32,
    /// The one that has the path; None: not known yet.
    pub holder: Option<Name>,
}

impl Observed {
    /// How long a status waits for what the master will say soon, so that one tells all; None: it waits for nothing.
    fn settles_within(&self, told: Option<Offset>) -> Option<Duration> {
        let (link, path) = (self.link.as_ref()?, &self.repository.spec.path);
        let newest = link.view()?.repositories.get(path).map(|found| found.newest);
        settles_within(newest, told, link.unpublished_for(path))
    }

    fn suspended(&self) -> bool {
        self.master.as_ref().is_some_and(|master| master.spec.suspend)
    }

    /// Where there is no SshMaster any more there is nothing to delete, and one that never had the path deletes nobody
    /// else's repository.
    fn owes_a_deletion(&self) -> bool {
        let owns = self.master.is_some() && self.holder.as_ref() == Some(&self.name);
        let is_abandoned = self.repository.annotations().get(ABANDON).is_some_and(|word| word == "true");
        owns && self.repository.spec.deletion_policy == DeletionPolicy::Delete && !is_abandoned
    }

    fn has_finalizer(&self) -> bool {
        self.repository.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
    }
}

/// `newest`: its newest record that the master has shown, None: it shows no such repository; `waits`: for how long
/// that has not been published.
fn settles_within(newest: Option<Offset>, told: Option<Offset>, waits: Option<Duration>) -> Option<Duration> {
    match (newest, told) {
        (None, Some(_)) => Some(MADE_WITHIN),
        (Some(newest), Some(told)) if newest < told => Some(PUBLISHED_WITHIN),
        (Some(_), _) => PUBLISHED_WITHIN.checked_sub(waits?),
        (None, None) => None,
    }
}

/// Done, as far as the report tells it.
#[derive(Debug, Default)]
pub struct Done {
    pub import: import::Import,
    /// The master was told of it just now, and has recorded that.
    told: Option<Offset>,
}

pub async fn reconcile(context: &Context, name: &Name) -> Outcome {
    if context.world.repositories.is_unreadable(name) {
        return unreadable::look::<HgRepository>(context, &Key::Repository(name.clone())).await;
    }
    let Some(repository) = context.world.repositories.get(name) else { return Outcome::Done };
    if context.world.is_unknown(&name.namespace, &repository.spec.master_ref) {
        return Outcome::Done;
    }
    if may_be_taken(context, name, &repository) {
        return Outcome::Failed;
    }
    let master = Name::new(name.namespace.clone(), repository.spec.master_ref.name.clone());
    let observed = Observed {
        master: context.world.masters.get(&master).filter(|master| master.metadata.deletion_timestamp.is_none()),
        link: context.link(&master),
        mirrors: context.world.mirrors_wanted(&master),
        holder: context.world.paths.who(&repository).into_iter().next(),
        name: name.clone(),
        repository,
    };
    let ended = if observed.repository.metadata.deletion_timestamp.is_some() {
        delete(context, &observed).await
    } else {
        look(context, &observed).await
    };
    ended.unwrap_or_else(|problem| {
        problem.log(&Key::Repository(name.clone()));
        problem.outcome()
    })
}

/// Answers whether it may have been taken: another one has its path, and one that cannot be read may be the other.
fn may_be_taken(context: &Context, name: &Name, repository: &HgRepository) -> bool {
    let conditions = repository.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|one| one.reason == Reason::PathTaken.as_str())
        && context.world.repositories.unknown(&name.namespace).is_some()
}

async fn look(context: &Context, observed: &Observed) -> Result<Outcome, Problem> {
    let done = if observed.suspended() { Ok(Done::default()) } else { act(context, observed).await };
    let done = match done {
        Err(problem) if problem.class == Class::Behind => return Err(problem),
        done => done,
    };
    let key = Key::Repository(observed.name.clone());
    if let Some(wait) = done.as_ref().ok().and_then(|done| observed.settles_within(done.told)) {
        return Ok(Outcome::Again(wait));
    }
    // Its finalizer may have been written just now.
    let known = context.world.repositories.get(&observed.name);
    let known = known.filter(|known| known.metadata.generation == observed.repository.metadata.generation);
    let known = known.as_ref().unwrap_or(&observed.repository);
    let before = observed.repository.status.clone().unwrap_or_default();
    let status = report::report(observed, &before, done.as_ref(), Timestamp::now());
    let mut again = None;
    if status != before {
        let only_mirrors = report::without_mirrors(&status) == report::without_mirrors(&before);
        let settled = observed.link.as_ref().is_none_or(|link| link.mirrors_settled() >= MIRRORS_SETTLE);
        if only_mirrors && !settled && report::worsens(&before, &status) {
            again = Some(MIRRORS_SETTLE);
        } else {
            context.report(&context.world.repositories, key.clone(), known, &status).await?;
            if let Err(problem) = &done {
                context.events.tell_problem(observed.repository.as_ref(), &before.conditions, problem).await;
            }
        }
    }
    match done {
        Ok(done) if done.import == import::Import::Runs => Ok(Outcome::Again(IMPORT_AGAIN)),
        // A master that comes wakes everybody who waits for it.
        Ok(_) => Ok(again.map_or(Outcome::Done, Outcome::Again)),
        Err(problem) => {
            if problem.reason != Reason::MasterNotReady {
                problem.log(&key);
            }
            Ok(problem.outcome())
        }
    }
}

fn validate(observed: &Observed) -> Result<(), Problem> {
    let spec = &observed.repository.spec;
    if observed.master.is_none() {
        let named = &spec.master_ref.name;
        let sentence = format!("spec.masterRef.name: there is no SshMaster '{named}' in this namespace");
        return Err(Problem::user(Reason::MasterNotFound, sentence));
    }
    match &observed.holder {
        Some(holder) if *holder != observed.name => {
            let (path, first) = (&spec.path, &holder.name);
            let sentence =
                format!("spec.path: '{path}' is the path of HgRepository '{first}' already: each has its own");
            Err(Problem::user(Reason::PathTaken, sentence))
        }
        _ => Ok(()),
    }
}

async fn act(context: &Context, observed: &Observed) -> Result<Done, Problem> {
    validate(observed)?;
    finalizer(context, observed).await?;
    let spec = &observed.repository.spec;
    let link = observed.link.as_ref().ok_or_else(no_master)?;
    let wanted = spec.settings();
    let known = link.settings(&spec.path).ok_or_else(no_master)?;
    let mut recorded = None;
    if known.as_ref() != Some(&wanted) {
        if known.is_none() || !link.has_put_before(&observed.repository) {
            must_be_current(context, observed).await?;
        }
        recorded = Some(link.put(&context.world, &observed.repository, &wanted).await.map_err(told)?);
        tracing::info!(repository = %observed.name, path = %spec.path, "the master has it as it is wanted");
    }
    let import = import::import(&context.world, link, observed).await?;
    Ok(Done { import, told: recorded })
}

/// Must be current, because what the master is told outlives the resource: an old list must neither bring a repository
/// back, nor take one away that was made anew meanwhile, with its path and its name. Where nothing is brought back, a
/// later generation of what the master was told of before needs no reading: it cannot come from an old list.
async fn must_be_current(context: &Context, observed: &Observed) -> Result<(), Problem> {
    let Some(owner) = Owner::of(observed.repository.as_ref()) else { return Ok(()) };
    owner.must_be_current(&context.client).await
}

fn no_master() -> Problem {
    told(AskError::NoMaster { said: None })
}

/// The status says the same as long as nothing has changed: what each instance said is in the log.
fn told(error: AskError) -> Problem {
    match error {
        AskError::Refused { .. } if error.is_of_the_request() => Problem::user(Reason::Refused, error.to_string()),
        AskError::Refused { .. } | AskError::NoMaster { .. } => {
            Problem::retry(Reason::MasterNotReady, AskError::NoMaster { said: None }.to_string())
        }
    }
}

/// There only while deleting the resource deletes the repository.
async fn finalizer(context: &Context, observed: &Observed) -> Result<(), Problem> {
    let wanted = observed.repository.spec.deletion_policy == DeletionPolicy::Delete;
    if wanted == observed.has_finalizer() {
        return Ok(());
    }
    set_finalizer(context, observed, wanted).await
}

async fn set_finalizer(context: &Context, observed: &Observed, wanted: bool) -> Result<(), Problem> {
    let mut finalizers: Vec<String> =
        observed.repository.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    }
    let api: Api<HgRepository> = Api::namespaced(context.client.clone(), &observed.name.namespace);
    // The version makes it conditional: a list is written whole, and somebody else's word in it must not be lost.
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "uid": observed.repository.uid(),
        "resourceVersion": observed.repository.resource_version(),
    }});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    metrics::wrote("patch", "HgRepository");
    match api.patch(&observed.name.name, &parameters, &Patch::Merge(&patch)).await {
        Ok(mut written) => {
            crate::world::metadata(&mut written);
            // Without finalizers one that is being deleted is gone, and the watch says so.
            if written.metadata.deletion_timestamp.is_none() || !written.finalizers().is_empty() {
                context.world.repositories.put(written);
            }
            Ok(())
        }
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

/// The resource is being deleted, and goes as soon as the master has deleted what it owes.
async fn delete(context: &Context, observed: &Observed) -> Result<Outcome, Problem> {
    if !observed.has_finalizer() {
        return Ok(Outcome::Done);
    }
    if observed.owes_a_deletion() {
        match delete_on_master(context, observed).await {
            Err(problem) if problem.class != Class::Behind => return waits(context, observed, &problem).await,
            done => done?,
        }
    }
    set_finalizer(context, observed, false).await?;
    Ok(Outcome::Done)
}

async fn delete_on_master(context: &Context, observed: &Observed) -> Result<(), Problem> {
    let path = &observed.repository.spec.path;
    let link = observed.link.as_ref().ok_or_else(no_master)?;
    if link.settings(path).ok_or_else(no_master)?.is_some() {
        must_be_current(context, observed).await?;
        link.delete(&context.world, path).await.map_err(told)?;
        let note = format!("repository {path}");
        context.events.tell(observed.repository.as_ref(), EventReason::RepositoryDeleted, note).await;
        tracing::info!(repository = %observed.name, %path, "deleted on the master");
    }
    Ok(())
}

/// Says what a deletion waits for, and the way out. A master that comes, and that word, wake it.
async fn waits(context: &Context, observed: &Observed, problem: &Problem) -> Result<Outcome, Problem> {
    let repository = &observed.repository;
    let (name, master) = (&observed.name.name, &repository.spec.master_ref.name);
    let sentence = format!(
        "deletionPolicy is Delete, and the repository is not deleted on SshMaster '{master}' yet: {problem}; it is \
         tried again. To let this resource go and keep the repository there: \
         kubectl annotate hgrepository {name} {ABANDON}=true"
    );
    let problem = Problem::user(Reason::Deleting, sentence);
    let before = repository.status.clone().unwrap_or_default();
    let status = report::waits(&before, &problem, repository.metadata.generation, Timestamp::now());
    if status != before {
        context
            .report(&context.world.repositories, Key::Repository(observed.name.clone()), repository, &status)
            .await?;
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_waits_for_a_publication_that_comes_soon_and_not_for_one_that_is_late() {
        let (old, new) = (Some(Offset(6)), Some(Offset(7)));
        let (soon, late) = (Some(Duration::from_millis(50)), Some(Duration::from_secs(1)));
        let table = [
            // A new repository, which the master does not show yet; and what is not made by us.
            (None, new, None, Some(MADE_WITHIN)),
            (None, None, None, None),
            // A change that the master's last word was before.
            (old, new, None, Some(PUBLISHED_WITHIN)),
            // A push, or a change that is shown: until it is published, but not for long.
            (new, new, soon, Some(PUBLISHED_WITHIN - Duration::from_millis(50))),
            (new, None, soon, Some(PUBLISHED_WITHIN - Duration::from_millis(50))),
            (new, None, late, None),
            (new, new, None, None),
        ];
        for (newest, told, waits, expected) in table {
            assert_eq!(settles_within(newest, told, waits), expected, "{newest:?} {told:?} {waits:?}");
        }
    }
}
