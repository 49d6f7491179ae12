//! Brings the repositories of the resources to the master, and waits until they are served.

use std::time::Duration;

use crds::Resources;
use interface::{Ask, AskError, Recorded, ask, paths};
use protocol::status::{MirrorState, Status};
use protocol::{MasterSettings, RepositoryPath, RepositorySettings};
use transport::{Client, Target};

use super::POLL;
use super::plan::Plan;

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("repository {path} cannot be applied: {source}")]
    Refused { path: RepositoryPath, source: AskError },
}

/// How many repositories are applied at once: their commits share the master's fsyncs.
const AT_ONCE: usize = 32;
/// For one instance.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn repositories(client: &Client, masters: &[Target], resources: &Resources) -> Result<(), ApplyError> {
    use futures::StreamExt;
    let specs = resources.repositories.iter().map(|resource| &resource.spec);
    let applied = futures::stream::iter(specs).map(|spec| async move {
        let body = spec.settings();
        put(client, masters, &spec.path, &body).await
    });
    let results: Vec<_> = applied.buffer_unordered(AT_ONCE).collect().await;
    results.into_iter().collect()
}

/// Settles what holds for all repositories. Tries until an instance answers as master.
pub async fn settings(client: &Client, masters: &[Target], settings: &MasterSettings) {
    let body = value(settings);
    loop {
        match ask::<Recorded>(client, masters, Ask::Put(paths::SETTINGS, &body), PATIENCE).await {
            Ok(_) => return,
            Err(error) => tracing::debug!(%error, "what holds for all repositories is not applied yet"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Tries until an instance answers as master. Only a refusal of the settings themselves ends it.
async fn put(
    client: &Client,
    masters: &[Target],
    path: &RepositoryPath,
    settings: &RepositorySettings,
) -> Result<(), ApplyError> {
    let (url, body) = (paths::repository(path), value(settings));
    loop {
        match ask::<Recorded>(client, masters, Ask::Put(&url, &body), PATIENCE).await {
            Ok(_) => return Ok(()),
            Err(source) if source.is_of_the_request() => {
                return Err(ApplyError::Refused { path: path.to_owned(), source });
            }
            Err(error) => tracing::debug!(%error, %path, "not applied yet"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Ours are plain structures, which always have a JSON form.
fn value(body: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(body).unwrap_or_default()
}

/// Waits until every mirror is active and every repository is published; says each few seconds what is missing.
pub async fn wait_until_served(client: &Client, masters: &[Target], plan: &Plan, resources: &Resources) {
    let mut asked = 0u32;
    loop {
        let missing = match status(client, masters).await {
            Some(status) => missing(&status, plan, resources),
            None => Some("no master answers yet".to_owned()),
        };
        let Some(missing) = missing else { return };
        asked += 1;
        if asked.is_multiple_of(50) {
            eprintln!("hgd: waiting: {missing}");
        }
        tokio::time::sleep(POLL).await;
    }
}

fn missing(status: &Status, plan: &Plan, resources: &Resources) -> Option<String> {
    for mirror in &plan.mirrors {
        let known = status.mirrors.iter().find(|m| m.name == mirror.name);
        if known.is_none_or(|m| m.state != MirrorState::Active) {
            let state = known.map_or("not connected".to_owned(), |m| format!("{:?}", m.state));
            return Some(format!("{} is {state}", mirror.name));
        }
    }
    let newest = status.instances.iter().map(|instance| instance.applied).max().unwrap_or_default();
    if let Some(mirror) = status.mirrors.iter().find(|mirror| mirror.published < newest) {
        return Some(format!("{} shows {} of {newest} records", mirror.name, mirror.published));
    }
    let absent = resources.repositories.iter().find(|r| !status.repositories.iter().any(|s| s.path == r.spec.path));
    absent.map(|repository| format!("{} is not there", repository.spec.path))
}

/// Asks for what the master says. A frozen one that was master before says nothing, or is of an older generation.
pub async fn status(client: &Client, masters: &[Target]) -> Option<Status> {
    use futures::StreamExt;
    let mut answers: futures::stream::FuturesUnordered<_> =
        masters.iter().map(|master| client.get_json::<Status>(master, paths::STATUS)).collect();
    let mut patience = Duration::from_secs(2);
    let mut newest: Option<Status> = None;
    while let Ok(Some(answer)) = tokio::time::timeout(patience, answers.next()).await {
        match answer {
            Ok(status) => {
                if newest.as_ref().is_none_or(|before| before.generation < status.generation) {
                    newest = Some(status);
                }
                patience = Duration::from_millis(100);
            }
            Err(error) => tracing::debug!(%error, "no status"),
        }
    }
    newest
}
