//! Writes: only what differs, only what is ours, never anything else.

mod contest;
mod current;
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
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use contest::decide::Contests;
pub use current::Premise;

use crate::events::{EventReason, Events};
use crate::metrics;
use crate::names::{APPLIED, FIELD_MANAGER, is_managed};
use crate::problem::Problem;
use crate::world::cache::{Cache, Name};

/// An object as it is wanted: the fields that we say, nothing else. JSON, because a type with defaults would claim
/// fields that nobody has spoken of.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted<K> {
    pub name: String,
    value: Value,
    /// Some: it was made from what was in this version of the object, or, the inner None, from nothing.
    made_of: Option<Option<String>>,
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
        Wanted { name, value, made_of: None, kind: PhantomData }
    }

    /// Some of it is what it was in this version, and some was made anew, at random: to be written over no other.
    pub fn made_of(self, version: Option<String>) -> Wanted<K> {
        Wanted { made_of: Some(version), ..self }
    }

    #[cfg(test)]
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// Kind of object that can be applied.
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

/// Owner of the objects that are written.
#[derive(Clone, Debug)]
pub struct Owner {
    pub reference: OwnerReference,
    pub about: ObjectReference,
    pub namespace: String,
    generation: Option<i64>,
    kind: ApiResource,
    premises: Vec<Premise>,
}

impl Owner {
    /// None: it has no UID, hence is not from an API server.
    pub fn of<K: Resource<DynamicType = ()> + ResourceExt>(object: &K) -> Option<Owner> {
        let reference = object.controller_owner_ref(&())?;
        Some(Owner {
            reference,
            about: object.object_ref(&()),
            namespace: object.namespace()?,
            generation: object.meta().generation,
            kind: ApiResource::erase::<K>(&()),
            premises: Vec::new(),
        })
    }

    /// Nothing is written on its behalf unless this holds.
    pub fn given(mut self, premise: Premise) -> Owner {
        self.premises.push(premise);
        self
    }

    fn owns<K: ResourceExt>(&self, object: &K) -> bool {
        let controller = object.owner_references().iter().find(|owner| owner.controller == Some(true));
        controller.is_some_and(|owner| owner.uid == self.reference.uid)
    }
}

/// Hash of what was written, and the version that the API server made of it: while that version stands, writing the
/// same again changes nothing, whatever the server has made of our words (`0.5Gi` becomes `512Mi`).
#[derive(Clone)]
pub struct Writes {
    objects: Arc<Mutex<HashMap<(String, Name), Wrote>>>,
    contests: Arc<Mutex<Contests>>,
    start: Instant,
}

impl Default for Writes {
    fn default() -> Writes {
        Writes { objects: Arc::default(), contests: Arc::default(), start: Instant::now() }
    }
}

/// The hash, and the version.
type Wrote = (String, String);

impl Writes {
    fn stands(&self, kind: &str, name: &Name, hash: &str, version: Option<String>) -> bool {
        let written = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let known = written.get(&(kind.to_owned(), name.clone()));
        known.is_some_and(|(was, stood)| was == hash && Some(stood) == version.as_ref())
    }

    /// The same was written before by this process.
    fn was(&self, kind: &str, name: &Name, hash: &str) -> bool {
        let written = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&(kind.to_owned(), name.clone())).is_some_and(|(was, _)| was == hash)
    }

    fn may_repair(&self, kind: &str, name: &Name) -> bool {
        let mut contests = self.contests.lock().unwrap_or_else(PoisonError::into_inner);
        contests.may_repair(self.start.elapsed(), (kind.to_owned(), name.namespace.clone(), name.name.clone()))
    }

    fn is_no_contest(&self, kind: &str, name: &Name) {
        let mut contests = self.contests.lock().unwrap_or_else(PoisonError::into_inner);
        contests.is_none(&(kind.to_owned(), name.namespace.clone(), name.name.clone()));
    }

    fn note(&self, kind: &str, name: &Name, hash: &str, version: Option<String>) {
        let mut written = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let version = version.unwrap_or_default();
        written.insert((kind.to_owned(), name.clone()), (hash.to_owned(), version));
    }
}

/// Writes on behalf of one resource, after it has seen once that the resource is still as it is known here.
pub struct Hand<'a> {
    client: &'a Client,
    events: &'a Events,
    written: &'a Writes,
    pub owner: &'a Owner,
    is_current: OnceCell<()>,
    /// An object that somebody else changes again and again.
    contested: OnceCell<Problem>,
}

impl<'a> Hand<'a> {
    pub fn new(client: &'a Client, events: &'a Events, written: &'a Writes, owner: &'a Owner) -> Hand<'a> {
        Hand { client, events, written, owner, is_current: OnceCell::new(), contested: OnceCell::new() }
    }

    /// When everything else is written.
    pub fn must_be_at_peace(&self) -> Result<(), Problem> {
        self.contested.get().map_or(Ok(()), |problem| Err(problem.clone()))
    }

    /// Before the first write of a look.
    pub async fn must_be_current(&self) -> Result<(), Problem> {
        self.is_current.get_or_try_init(|| self.owner.must_be_current(self.client)).await.copied()
    }

    pub fn api<K: Applicable>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.owner.namespace)
    }

    /// Makes the object what it is wanted to be; says whether anything was written.
    pub async fn apply<K: Applicable>(&self, cache: &Cache<K>, wanted: &Wanted<K>) -> Result<bool, Problem> {
        let (kind, name) = (K::kind(&()), Name::new(self.owner.namespace.clone(), wanted.name.clone()));
        let (mut value, hash) = self.complete(wanted);
        let observed = cache.get(&name);
        if let Some(observed) = &observed {
            if !self.owner.owns(observed.as_ref()) {
                self.must_be_heard_of(observed.as_ref()).await?;
            }
            self.must_own(observed.as_ref(), &name)?;
            let known = serde_json::to_value(observed.as_ref()).unwrap_or_default();
            let Some(differs) = unchanged::difference(&known, &value) else { return Ok(false) };
            if wanted.made_of.as_ref().is_some_and(|version| *version != observed.resource_version()) {
                return Err(Problem::behind(format!("{kind} '{name}' has changed since it was looked at")));
            }
            if self.written.stands(&kind, &name, &hash, observed.resource_version()) {
                return Ok(false);
            }
            let is_ours = observed.annotations().get(APPLIED) == Some(&hash);
            if (is_ours || self.written.was(&kind, &name, &hash)) && !self.written.may_repair(&kind, &name) {
                self.is_contested(&kind, &name, &differs);
                return Ok(false);
            }
        } else if let Some(found) = self.api::<K>().get_metadata_opt(&wanted.name).await.map_err(refused)? {
            self.must_own(&found, &name)?;
            // Without our labels it is not in the cache; with them it soon is.
            if is_managed(found.labels()) {
                return Err(Problem::behind(format!("{kind} '{name}' is there, and was not heard of yet")));
            }
        }
        self.must_be_current().await?;
        if let Some(observed) = &observed {
            // Decided about this one in this version.
            value["metadata"]["uid"] = observed.uid().into();
            value["metadata"]["resourceVersion"] = observed.resource_version().into();
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
        } else {
            self.written.is_no_contest(&kind, &name);
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
            self.must_be_current().await?;
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

    fn is_contested(&self, kind: &str, name: &Name, differs: &str) {
        let sentence = format!(
            "{kind} '{}': somebody else changes {differs} again and again; it is set back later each time",
            name.name
        );
        // The first one is told.
        let _others_come_later = self.contested.set(Problem::human(Reason::Contested, sentence));
    }

    fn complete<K>(&self, wanted: &Wanted<K>) -> (Value, String) {
        let mut value = wanted.value.clone();
        value["metadata"]["namespace"] = self.owner.namespace.clone().into();
        value["metadata"]["ownerReferences"] = json!([self.owner.reference]);
        let hash = unchanged::hash(&value);
        value["metadata"]["annotations"][APPLIED] = hash.clone().into();
        (value, hash)
    }

    /// Refuses while the object is not heard of: of its name there may be another one meanwhile, which is ours.
    async fn must_be_heard_of<K: Applicable>(&self, observed: &K) -> Result<(), Problem> {
        let (kind, name) = (K::kind(&()), observed.name_any());
        let found = self.api::<K>().get_metadata_opt(&name).await.map_err(refused)?;
        match found.and_then(|found| found.metadata.uid) == observed.uid() {
            true => Ok(()),
            false => Err(Problem::behind(format!("{kind} '{name}' is another one, and was not heard of yet"))),
        }
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
                // Its version or its UID is another than the one that was decided about.
                409 => Problem::behind(sentence),
                _ => Problem::retry(Reason::ApiFailed, sentence),
            }
        }
        other => Problem::retry(Reason::ApiFailed, format!("{who}: {other}")),
    }
}
