//! Paths, and which HgRepository has each: the oldest of those that want it. Kept beside the cache, because a look
//! through all of them for each of them would be quadratic.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crds::HgRepository;
use kube::ResourceExt;

use super::cache::{Change, Name};

/// Namespace, SshMaster, path.
type Place = (String, String, String);
/// Seconds of its creation, then its name.
type Claim = (i64, Name);

#[derive(Clone, Default)]
pub struct Paths(Arc<RwLock<HashMap<Place, BTreeSet<Claim>>>>);

impl Paths {
    pub fn note(&self, change: &Change<HgRepository>) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &change.before
            && let Some(claims) = places.get_mut(&place(before))
        {
            claims.remove(&claim(before));
            if claims.is_empty() {
                places.remove(&place(before));
            }
        }
        if let Some(after) = &change.after {
            places.entry(place(after)).or_default().insert(claim(after));
        }
    }

    /// Everybody who wants this one's path, the one who has it first.
    pub fn who(&self, repository: &HgRepository) -> Vec<Name> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        places.get(&place(repository)).into_iter().flatten().map(|(_, name)| name.clone()).collect()
    }

    /// Answers who has this path.
    pub fn holder(&self, master: &Name, path: &protocol::RepositoryPath) -> Option<Name> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let claims = places.get(&(master.namespace.clone(), master.name.clone(), path.to_string()))?;
        claims.first().map(|(_, name)| name.clone())
    }
}

fn place(repository: &HgRepository) -> Place {
    let spec = &repository.spec;
    (repository.namespace().unwrap_or_default(), spec.master_ref.name.clone(), spec.path.to_string())
}

fn claim(repository: &HgRepository) -> Claim {
    let created = repository.creation_timestamp().map_or(i64::MAX, |created| created.0.as_second());
    (created, Name::of(repository))
}
