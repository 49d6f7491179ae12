//! Things that are made once and never written again: keys, and the register.

use kube::api::PostParams;

use super::{Applicable, Hand, refused};
use crate::events::EventReason;
use crate::metrics;
use crate::names::FIELD_MANAGER;
use crate::problem::Problem;
use crate::world::cache::{Cache, Name};

impl Hand<'_> {
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
        let mut found = match self.api::<K>().get_opt(&name.name).await.map_err(refused)? {
            Some(found) => found,
            None => {
                self.must_be_current().await?;
                let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                let kind = K::kind(&());
                metrics::wrote("create", &kind);
                let made = self.api::<K>().create(&parameters, &make()?).await.map_err(refused)?;
                tracing::info!(kind = %kind, object = %name, "made once");
                let note = format!("{kind} {}", made.name_any());
                self.events.tell_of(&self.owner.about, EventReason::Created, note).await;
                made
            }
        };
        crate::world::metadata(&mut found);
        cache.put(found.clone());
        Ok(std::sync::Arc::new(found))
    }
}
