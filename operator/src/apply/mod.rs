//! Writes: only what differs, only what is ours, never anything else.

pub mod once;
pub mod unchanged;

use std::collections::HashMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use crds::conditions::Reason;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::events::{EventReason, Events};
use crate::metrics;
use crate::names::{APPLIED, FIELD_MANAGER};
use crate::problem::Problem;
use crate::world::cache::{Cache, Name};

/// An object as it is wanted: the fields that we say, nothing else. JSON, because a type with defaults would claim
/// fields that nobody has spoken of.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted<K> {
    pub name: String,
    value: Value,
    kind: PhantomData<K>,
}

impl<K: Resource<DynamicType = ()>> Wanted<K> {
    /// `labels` as [`crate::names::selector`] makes them; `body` has the fields beside `metadata`, which may have
    /// `metadata` with annotations.
    pub fn new(name: String, labels: Value, body: Value) -> Wanted<K> {
        let mut value = body;
        let metadata = value.get("metadata").cloned().unwrap_or_else(|| json!({}));
        value["apiVersion"] = K::api_version(&()).into();
        value["kind"] = K::kind(&()).into();
        value["metadata"] = metadata;
        value["metadata"]["name"] = name.clone().into();
        value["metadata"]["labels"] = labels;
        Wanted { name, value, kind: PhantomData }
    }

    #[cfg(test)]
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// What can be applied.
pub trait Applicable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + ResourceExt
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Applicable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + ResourceExt
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// Whose objects are written.
#[derive(Clone, Debug)]
pub struct Owner {
    pub reference: OwnerReference,
    pub about: ObjectReference,
    pub namespace: String,
}

impl Owner {
    /// None: it has no UID, hence is not from an API server.
    pub fn of<K: Resource<DynamicType = ()> + ResourceExt>(object: &K) -> Option<Owner> {
        let reference = object.controller_owner_ref(&())?;
        Some(Owner { reference, about: object.object_ref(&()), namespace: object.namespace()? })
    }

    fn owns<K: ResourceExt>(&self, object: &K) -> bool {
        let controller = object.owner_references().iter().find(|owner| owner.controller == Some(true));
        controller.is_some_and(|owner| owner.uid == self.reference.uid)
    }
}

/// What was written with which hash, and the version that the API server made of it: while that version stands,
/// writing the same again changes nothing, whatever the server has made of our words (`0.5Gi` becomes `512Mi`).
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<HashMap<(String, Name), Wrote>>>);

/// The hash, and the version.
type Wrote = (String, String);

impl Written {
    fn stands(&self, kind: &str, name: &Name, hash: &str, version: Option<String>) -> bool {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = written.get(&(kind.to_owned(), name.clone()));
        known.is_some_and(|(was, stood)| was == hash && Some(stood) == version.as_ref())
    }

    fn note(&self, kind: &str, name: &Name, hash: &str, version: Option<String>) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = version.unwrap_or_default();
        written.insert((kind.to_owned(), name.clone()), (hash.to_owned(), version));
    }
}

/// Writes on behalf of one resource.
pub struct Hand<'a> {
    pub client: &'a Client,
    pub events: &'a Events,
    pub written: &'a Written,
    pub owner: &'a Owner,
}

impl Hand<'_> {
    pub fn api<K: Applicable>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.owner.namespace)
    }

    /// Makes the object what it is wanted to be; says whether anything was written.
    pub async fn apply<K: Applicable>(&self, cache: &Cache<K>, wanted: &Wanted<K>) -> Result<bool, Problem> {
        let (kind, name) = (K::kind(&()), Name::new(self.owner.namespace.clone(), wanted.name.clone()));
        let (value, hash) = self.complete(wanted);
        let observed = cache.get(&name);
        if let Some(observed) = &observed {
            self.must_own(observed.as_ref(), &name)?;
            let same = observed.annotations().get(APPLIED) == Some(&hash)
                && serde_json::to_value(observed.as_ref())
                    .is_ok_and(|observed| unchanged::contains(&observed, &value));
            if same || self.written.stands(&kind, &name, &hash, observed.resource_version()) {
                return Ok(false);
            }
        } else if let Some(found) = self.api::<K>().get_metadata_opt(&wanted.name).await.map_err(refused)? {
            // An object without our labels is not in the cache.
            self.must_own(&found, &name)?;
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        let applied = self.api::<K>().patch(&wanted.name, &parameters, &Patch::Apply(&value)).await;
        metrics::wrote("apply", &kind);
        let mut applied = applied.map_err(|error| about(&kind, &wanted.name, error))?;
        let changed = observed.as_ref().is_none_or(|was| was.resource_version() != applied.resource_version());
        self.written.note(&kind, &name, &hash, applied.resource_version());
        crate::world::metadata(&mut applied);
        cache.put(applied);
        if changed {
            let reason = if observed.is_some() { EventReason::Updated } else { EventReason::Created };
            tracing::info!(kind = %kind, object = %name, ?reason, "written");
            self.events.tell_of(&self.owner.about, reason, format!("{kind} {}", wanted.name)).await;
        }
        Ok(changed)
    }

    /// Removes what this resource owns of one kind and does not want any more.
    pub async fn remove_others<K: Applicable>(&self, cache: &Cache<K>, keep: &[&str]) -> Result<(), Problem> {
        let namespace = Some(self.owner.namespace.clone());
        let orphans = cache.find(|object| {
            object.namespace() == namespace
                && self.owner.owns(object)
                && object.meta().deletion_timestamp.is_none()
                && !keep.contains(&object.name_any().as_str())
        });
        for orphan in orphans {
            let preconditions = Preconditions { uid: orphan.uid(), resource_version: None };
            let parameters = DeleteParams::background().preconditions(preconditions);
            let (kind, name) = (K::kind(&()), orphan.name_any());
            metrics::wrote("delete", &kind);
            match self.api::<K>().delete(&name, &parameters).await {
                Ok(_) => {
                    tracing::info!(kind = %kind, object = name, "removed");
                    let note = format!("{kind} {name}");
                    self.events.tell_of(&self.owner.about, EventReason::Removed, note).await;
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(about(&kind, &name, error)),
            }
        }
        Ok(())
    }

    fn complete<K>(&self, wanted: &Wanted<K>) -> (Value, String) {
        let mut value = wanted.value.clone();
        value["metadata"]["namespace"] = self.owner.namespace.clone().into();
        value["metadata"]["ownerReferences"] = json!([self.owner.reference]);
        let hash = unchanged::hash(&value);
        value["metadata"]["annotations"][APPLIED] = hash.clone().into();
        (value, hash)
    }

    fn must_own<M: ResourceExt>(&self, object: &M, name: &Name) -> Result<(), Problem> {
        if self.owner.owns(object) {
            return Ok(());
        }
        let (kind, own) = (&self.owner.reference.kind, &self.owner.reference.name);
        Err(Problem::user(
            Reason::ForeignObject,
            format!("an object named '{}' is there that is not of {kind} '{own}': rename one of them", name.name),
        ))
    }
}

pub fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

pub fn refused(error: kube::Error) -> Problem {
    problem("the API server", error)
}

fn about(kind: &str, name: &str, error: kube::Error) -> Problem {
    problem(&format!("the API server, about {kind} '{name}'"), error)
}

fn problem(who: &str, error: kube::Error) -> Problem {
    match &error {
        kube::Error::Api(status) => {
            let sentence = format!("{who}: {}", status.message);
            match status.code {
                403 => Problem::human(Reason::Forbidden, sentence),
                400 | 422 => Problem::user(Reason::SpecInvalid, sentence),
                _ => Problem::retry(Reason::ApiFailed, sentence),
            }
        }
        other => Problem::retry(Reason::ApiFailed, format!("{who}: {other}")),
    }
}
