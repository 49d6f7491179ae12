//! Filling a new repository from elsewhere, once.

use crds::conditions::Reason;
use interface::{ImportSource, ImportStage};

use super::{Observed, told};
use crate::link::Link;
use crate::problem::Problem;
use crate::world::World;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Import {
    /// Nothing is asked for.
    #[default]
    None,
    Runs,
    Done,
    Failed(String),
}

/// Done once means done: a later change of the source does nothing. Failed is looked at again only when the resource
/// changes.
pub async fn import(world: &World, link: &Link, observed: &Observed) -> Result<Import, Problem> {
    let spec = &observed.repository.spec;
    let Some(source) = &spec.source else { return Ok(Import::None) };
    let status = observed.repository.status.as_ref();
    let condition = status.and_then(|status| status.conditions.iter().find(|one| one.type_ == "Imported"));
    if condition.is_some_and(|condition| condition.status == "True") {
        return Ok(Import::Done);
    }
    let found = link.import_state(world, &spec.path).await.map_err(told)?;
    let reason = condition.map_or("", |condition| condition.reason.as_str());
    let generation = condition.and_then(|condition| condition.observed_generation);
    let known = Known {
        stage: found.as_ref().map(|found| found.state),
        has_changesets: link
            .view()
            .and_then(|view| view.repositories.get(&spec.path).map(|found| found.changesets > 0))
            .unwrap_or(false),
        was_running: reason == Reason::Importing.as_str(),
        has_failed: reason == Reason::ImportFailed.as_str() && generation == observed.repository.metadata.generation,
    };
    let message = || match found.as_ref().map(|found| found.message.clone()).filter(|message| !message.is_empty()) {
        Some(message) => message,
        None => condition.map_or_else(String::new, |condition| condition.message.clone()),
    };
    match decide(&known) {
        Step::Wait => Ok(Import::Runs),
        Step::Done => Ok(Import::Done),
        Step::Failed => Ok(Import::Failed(message())),
        Step::NotEmpty => Ok(Import::Failed("the repository is not empty: only an empty one is filled".to_owned())),
        Step::Begin => {
            let from = match (&source.url, &source.bundle_url) {
                (Some(url), _) => ImportSource::Url(url.clone()),
                (None, Some(url)) => ImportSource::BundleUrl(url.clone()),
                // The API server refuses it.
                (None, None) => return Ok(Import::None),
            };
            link.import(world, &spec.path, &from).await.map_err(told)?;
            tracing::info!(repository = %observed.name, "the import has begun");
            Ok(Import::Runs)
        }
    }
}

/// Known of an import that the status does not call done.
struct Known {
    stage: Option<ImportStage>,
    has_changesets: bool,
    /// The status says so.
    was_running: bool,
    /// The status says so of the spec as it is.
    has_failed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Begin,
    Wait,
    Done,
    Failed,
    NotEmpty,
}

/// A master forgets imports when it restarts; one that has ended has filled the repository, for it is one push.
fn decide(known: &Known) -> Step {
    match known.stage {
        Some(ImportStage::Running) => Step::Wait,
        Some(ImportStage::Done) => Step::Done,
        Some(ImportStage::Failed) if known.was_running || known.has_failed => Step::Failed,
        _ if known.has_failed => Step::Failed,
        None if known.has_changesets && known.was_running => Step::Done,
        None | Some(ImportStage::Failed) if known.has_changesets => Step::NotEmpty,
        None | Some(ImportStage::Failed) => Step::Begin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_begins_once_and_its_end_is_not_lost_with_the_master_that_made_it() {
        let table = [
            (None, false, false, false, Step::Begin),
            (Some(ImportStage::Running), false, false, false, Step::Wait),
            (Some(ImportStage::Done), true, true, false, Step::Done),
            (None, true, true, false, Step::Done),
            (None, false, true, false, Step::Begin),
            (None, true, false, false, Step::NotEmpty),
            (Some(ImportStage::Failed), false, true, false, Step::Failed),
            (Some(ImportStage::Failed), false, false, true, Step::Failed),
            (None, false, false, true, Step::Failed),
            (Some(ImportStage::Failed), false, false, false, Step::Begin),
        ];
        for (stage, has_changesets, was_running, has_failed, step) in table {
            let known = Known { stage, has_changesets, was_running, has_failed };
            assert_eq!(decide(&known), step, "{stage:?} {has_changesets} {was_running} {has_failed}");
        }
    }
}
