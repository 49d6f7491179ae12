//! What is made once and never written again: keys, and the register.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Applicable, refused};
use crate::events::{EventReason, Events};
use crate::metrics;
use crate::names::FIELD_MANAGER;
use crate::problem::Problem;
use crate::world::cache::{Cache, Name};

pub struct Once<'a> {
    pub client: &'a Client,
    pub events: &'a Events,
    pub about: &'a ObjectReference,
}

impl Once<'_> {
    /// The object that is there, or else the one that `make` makes. A cache that is behind makes no second one:
    /// before, the API server is asked, and a create never overwrites.
    pub async fn get_or_make<K: Applicable>(
        &self,
        cache: &Cache<K>,
        name: &Name,
        make: impl FnOnce() -> Result<K, Problem>,
    ) -> Result<std::sync::Arc<K>, Problem> {
        if let Some(known) = cache.get(name) {
            return Ok(known);
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &name.namespace);
        let mut found = match api.get_opt(&name.name).await.map_err(refused)? {
            Some(found) => found,
            None => {
                let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                let kind = K::kind(&());
                metrics::wrote("create", &kind);
                let made = api.create(&parameters, &make()?).await.map_err(refused)?;
                tracing::info!(kind = %kind, object = %name, "made once");
                self.events.tell_of(self.about, EventReason::Created, format!("{kind} {}", made.name_any())).await;
                made
            }
        };
        crate::world::metadata(&mut found);
        cache.put(found.clone());
        Ok(std::sync::Arc::new(found))
    }
}
