//! Requests to the master: what it is asked and told (docs/protocols.md, internal HTTP API).

use std::collections::HashMap;
use std::time::Duration;

use crds::HgRepository;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use protocol::{MasterSettings, Offset, Registry, RepositoryPath, RepositorySettings};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use transport::{ClientError, Target};

use super::{Link, Shared};
use crate::world::World;

/// For one instance; a master that does not answer so long does not answer.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no SSH instance answers as master")]
    NoMaster,
    #[error("the master refuses: {0}")]
    Refused(String),
}

#[derive(Clone, Copy)]
enum Ask<'a> {
    Get(&'a str),
    Post(&'a str, &'a Value),
    Put(&'a str, &'a Value),
    Delete(&'a str),
}

/// A change of the registry, in the log.
#[derive(Deserialize)]
struct Recorded {
    offset: Offset,
}

/// Where a repository is filled from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportRequest {
    Url(String),
    BundleUrl(String),
}

/// How an import does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ImportState {
    pub state: ImportStage,
    #[serde(default)]
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ImportStage {
    Running,
    Done,
    Failed,
}

impl Shared {
    pub(super) async fn ask<T: DeserializeOwned>(&self, world: &World, path: &str) -> Result<T, AskError> {
        self.any(world, Ask::Get(path)).await
    }

    pub(super) async fn tell<T: DeserializeOwned>(
        &self,
        world: &World,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AskError> {
        self.any(world, Ask::Post(path, &value(body))).await
    }

    /// The first instance that answers as master; the one that the register names is asked first.
    async fn any<T: DeserializeOwned>(&self, world: &World, ask: Ask<'_>) -> Result<T, AskError> {
        for target in self.targets(world) {
            match tokio::time::timeout(DEADLINE, self.one(&target, ask)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(ClientError::Status { status, message, .. })) if is_the_masters(status.as_u16()) => {
                    return Err(AskError::Refused(message));
                }
                Ok(Err(error)) => tracing::debug!(%target, %error, "not the master's answer"),
                Err(_) => tracing::debug!(%target, "no answer in time"),
            }
        }
        Err(AskError::NoMaster)
    }

    async fn one<T: DeserializeOwned>(&self, target: &Target, ask: Ask<'_>) -> Result<T, ClientError> {
        match ask {
            Ask::Get(path) => self.client.get_json(target, path).await,
            Ask::Post(path, body) => self.client.post_json(target, path, body).await,
            Ask::Put(path, body) => self.client.put_json(target, path, body).await,
            Ask::Delete(path) => {
                self.client.delete(target, path).await?;
                let json = |source| ClientError::Json { to: target.clone(), source };
                serde_json::from_value(Value::Null).map_err(json)
            }
        }
    }

    /// Reads what the master knows of all repositories.
    pub(super) async fn read_registry(&self, world: &World) -> bool {
        let Ok(registry) = self.ask::<Registry>(world, "/v1/registry").await else { return false };
        let settings: HashMap<RepositoryPath, RepositorySettings> =
            registry.iter().map(|known| (known.path.clone(), known.settings.clone())).collect();
        self.told().settings = Some(settings);
        true
    }
}

/// A standby has no such route, or says that it is not the master; both are another instance's to answer.
fn is_the_masters(status: u16) -> bool {
    (400..500).contains(&status) && status != 404
}

impl Link {
    /// Creates or changes a repository; answers when that is committed, with its record. What becomes of it is asked
    /// for soon.
    pub async fn put(
        &self,
        world: &World,
        repository: &HgRepository,
        settings: &RepositorySettings,
    ) -> Result<Offset, AskError> {
        let (shared, path) = (&self.shared, &repository.spec.path);
        let url = format!("/v1/registry/{path}");
        let Recorded { offset } = shared.any(world, Ask::Put(&url, &value(settings))).await?;
        let ObjectMeta { uid, generation, .. } = &repository.metadata;
        let mut told = shared.told();
        told.put_for.insert(path.clone(), (uid.clone(), *generation));
        if let Some(known) = &mut told.settings {
            known.insert(path.clone(), settings.clone());
        }
        drop(told);
        shared.expects.notify_one();
        Ok(offset)
    }

    /// Puts what holds for all repositories; answers when that is committed.
    pub async fn put_settings(&self, world: &World, settings: &MasterSettings) -> Result<(), AskError> {
        self.shared.any::<Recorded>(world, Ask::Put("/v1/settings", &value(settings))).await?;
        self.shared.expects.notify_one();
        Ok(())
    }

    /// Deletes a repository that the master is known to have.
    pub async fn delete(&self, world: &World, path: &RepositoryPath) -> Result<(), AskError> {
        let (shared, url) = (&self.shared, format!("/v1/registry/{path}"));
        shared.any::<()>(world, Ask::Delete(&url)).await?;
        let mut told = shared.told();
        told.put_for.remove(path);
        if let Some(known) = &mut told.settings {
            known.remove(path);
        }
        Ok(())
    }

    pub async fn import(&self, world: &World, path: &RepositoryPath, from: &ImportRequest) -> Result<(), AskError> {
        let url = format!("/v1/registry/{path}/import");
        self.shared.tell::<Value>(world, &url, from).await.map(drop)
    }

    /// None: this master was not asked for one; it forgets them when it restarts.
    pub async fn import_state(&self, world: &World, path: &RepositoryPath) -> Result<Option<ImportState>, AskError> {
        let (shared, url) = (&self.shared, format!("/v1/registry/{path}/import"));
        let Some(target) = shared.targets(world).into_iter().next() else { return Err(AskError::NoMaster) };
        match tokio::time::timeout(DEADLINE, shared.one(&target, Ask::Get(&url))).await {
            Ok(Ok(state)) => Ok(Some(state)),
            Ok(Err(error)) if error.status().is_some_and(|status| status == 404) => Ok(None),
            Ok(Err(_)) | Err(_) => Err(AskError::NoMaster),
        }
    }
}

/// Ours are plain structures, which always have a JSON form.
fn value(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}
