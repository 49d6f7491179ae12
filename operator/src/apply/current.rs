//! A list that the API server gave may be older than what was seen before it: after a restart, or through another of
//! several API servers ("time travel" of Sieve, OSDI '22). What is decided from an old list must not undo what has
//! happened since, hence a resource is read anew before anything is written on its behalf. That costs one read where
//! there is something to write, and nothing where nothing has changed.

use std::collections::BTreeSet;

use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, Resource, ResourceExt};

use super::{Owner, refused};
use crate::problem::Problem;

/// Other resources that objects are decided from, as they were observed. Each kind has a watch of its own, and one may
/// be behind the other.
#[derive(Clone, Debug)]
pub struct Premise {
    kind: ApiResource,
    which: ListParams,
    known: BTreeSet<Known>,
}

/// Name, UID and generation: a change of the spec, a deletion and another one of that name are all seen.
type Known = (String, Option<String>, Option<i64>);

impl Premise {
    /// All of one kind in the namespace.
    pub fn all<'a, K: Resource<DynamicType = ()> + 'a>(observed: impl IntoIterator<Item = &'a K>) -> Premise {
        let known = observed.into_iter().map(known).collect();
        Premise { kind: ApiResource::erase::<K>(&()), which: ListParams::default(), known }
    }

    /// The one of this name; None: it was not there.
    pub fn one<K: Resource<DynamicType = ()>>(name: &str, observed: Option<&K>) -> Premise {
        let which = ListParams::default().fields(&format!("metadata.name={name}"));
        Premise { which, ..Premise::all(observed) }
    }

    async fn must_hold(&self, client: &Client, namespace: &str) -> Result<(), Problem> {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &self.kind);
        let found = api.list_metadata(&self.which).await.map_err(refused)?;
        match found.items.iter().map(known).collect::<BTreeSet<Known>>() == self.known {
            true => Ok(()),
            false => Err(Problem::behind(format!("a {} has changed, and was not heard of yet", self.kind.kind))),
        }
    }
}

fn known<K: Resource>(object: &K) -> Known {
    let metadata = object.meta();
    (metadata.name.clone().unwrap_or_default(), metadata.uid.clone(), metadata.generation)
}

impl Owner {
    /// Refuses unless spec and deletion are as they were when it was observed: both change the generation.
    /// The premises have to be the same, too.
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
        for premise in &self.premises {
            premise.must_hold(client, &self.namespace).await?;
        }
        Ok(())
    }
}
