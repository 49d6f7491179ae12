//! Requests to the master: what it is asked and told (docs/protocols.md, internal HTTP API).

use std::collections::HashMap;
use std::time::Duration;

use crds::HgRepository;
use interface::{Ask, AskError, ImportSource, ImportState, Recorded, paths};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use protocol::{MasterSettings, Offset, Registry, RepositoryPath, RepositorySettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use transport::Target;

use super::{Link, Shared};
use crate::world::World;

/// For one instance; a master that does not answer so long does not answer.
const DEADLINE: Duration = Duration::from_secs(5);

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

    /// Asks the first instance that answers as master; the one that the register names is asked first.
    async fn any<T: DeserializeOwned>(&self, world: &World, asked: Ask<'_>) -> Result<T, AskError> {
        interface::ask(&self.client, &self.targets(world), asked, DEADLINE).await
    }

    /// Reads what the master knows of all repositories.
    pub(super) async fn read_registry(&self, world: &World) -> bool {
        let Ok(registry) = self.ask::<Registry>(world, paths::REGISTRY).await else { return false };
        let settings: HashMap<RepositoryPath, RepositorySettings> =
            registry.iter().map(|known| (known.path.clone(), known.settings.clone())).collect();
        self.told().settings = Some(settings);
        true
    }
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
        let url = paths::repository(path);
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
        self.shared.any::<Recorded>(world, Ask::Put(paths::SETTINGS, &value(settings))).await?;
        self.shared.expects.notify_one();
        Ok(())
    }

    /// Deletes a repository that the master is known to have.
    pub async fn delete(&self, world: &World, path: &RepositoryPath) -> Result<(), AskError> {
        let (shared, url) = (&self.shared, paths::repository(path));
        shared.any::<()>(world, Ask::Delete(&url)).await?;
        let mut told = shared.told();
        told.put_for.remove(path);
        if let Some(known) = &mut told.settings {
            known.remove(path);
        }
        Ok(())
    }

    pub async fn import(&self, world: &World, path: &RepositoryPath, from: &ImportSource) -> Result<(), AskError> {
        let url = paths::import(path);
        self.shared.tell::<Value>(world, &url, from).await.map(drop)
    }

    /// None: this master was not asked for one; it forgets them when it restarts.
    pub async fn import_state(&self, world: &World, path: &RepositoryPath) -> Result<Option<ImportState>, AskError> {
        let (shared, url) = (&self.shared, paths::import(path));
        // Only the one that the register names: another may have been asked for an import before its time.
        let holder: Vec<Target> = shared.targets(world).into_iter().take(1).collect();
        match interface::ask(&shared.client, &holder, Ask::Get(&url), DEADLINE).await {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(_) => Err(AskError::NoMaster { said: None }),
        }
    }
}

/// Ours are plain structures, which always have a JSON form.
fn value(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}
