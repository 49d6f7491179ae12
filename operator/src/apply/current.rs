//! A list that the API server gave may be older than what was seen before it: after a restart, or through another of
//! several API servers ("time travel" of Sieve, OSDI '22). What is decided from an old list must not undo what has
//! happened since, hence a resource is read anew before anything is written on its behalf. That costs one read where
//! there is something to write, and nothing where nothing has changed.

use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};

use super::{Owner, refused};
use crate::problem::Problem;

impl Owner {
    /// Its spec, and whether it is being deleted, are what they were when it was observed: both change its generation.
    pub async fn must_be_current(&self, client: &Client) -> Result<(), Problem> {
        let (kind, name) = (&self.reference.kind, &self.reference.name);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &self.namespace, &self.kind);
        let found = api.get_metadata_opt(name).await.map_err(refused)?;
        let Some(found) = found.filter(|found| found.uid().as_ref() == Some(&self.reference.uid)) else {
            return Err(Problem::behind(format!("{kind} '{name}' is not there any more, as far as is known since")));
        };
        if found.metadata.generation != self.generation {
            return Err(Problem::behind(format!("{kind} '{name}' has changed, and its change was not heard of yet")));
        }
        Ok(())
    }
}
