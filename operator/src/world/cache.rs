//! What the API server last said about one kind of object.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub namespace: String,
    pub name: String,
}

impl Name {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Name {
        Name { namespace: namespace.into(), name: name.into() }
    }

    pub fn of<K: ResourceExt>(object: &K) -> Name {
        Name { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object came, changed or went.
pub struct Change<K> {
    pub before: Option<Arc<K>>,
    pub after: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// Whatever of both there is.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<K>> {
        self.before.iter().chain(self.after.iter())
    }
}

impl<K: ResourceExt> Change<K> {
    /// It came, or says something else of what is wanted.
    pub fn is_new_spec(&self) -> bool {
        let generation = |object: &Option<Arc<K>>| object.as_ref().map(|object| object.meta().generation);
        generation(&self.before) != generation(&self.after)
    }
}

/// A shared handle.
pub struct Cache<K> {
    objects: Arc<RwLock<HashMap<Name, Arc<K>>>>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Cache<K> {
        Cache { objects: self.objects.clone() }
    }
}

impl<K> Default for Cache<K> {
    fn default() -> Cache<K> {
        Cache { objects: Arc::default() }
    }
}

impl<K: ResourceExt> Cache<K> {
    pub fn get(&self, name: &Name) -> Option<Arc<K>> {
        self.read().get(name).cloned()
    }

    pub fn len(&self) -> usize {
        self.read().len()
    }

    pub fn names(&self) -> Vec<Name> {
        self.read().keys().cloned().collect()
    }

    pub fn find(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let mut found: Vec<Arc<K>> = self.read().values().filter(|object| wanted(object)).cloned().collect();
        found.sort_by_cached_key(|object| Name::of(object.as_ref()));
        found
    }

    /// Also used to put in what a write answered, so that the next look sees it; an older answer than what a watch
    /// has said meanwhile is not taken, also when that is about another object of the same name.
    pub fn put(&self, object: K) -> Change<K> {
        let name = Name::of(&object);
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let before = objects.get(&name).cloned();
        if let Some(known) = &before
            && version(known.as_ref()) > version(&object)
        {
            return Change { after: before.clone(), before };
        }
        let after = Arc::new(object);
        objects.insert(name, after.clone());
        Change { before, after: Some(after) }
    }

    pub fn remove(&self, name: &Name) -> Change<K> {
        let before = self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Change { before, after: None }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Name, Arc<K>>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comparable within one kind (KEP-5504; older servers do the same).
pub fn version<K: ResourceExt>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// One watch's way into a cache: several, of one namespace each, may fill the same.
pub struct Filler<K> {
    cache: Cache<K>,
    /// None: of all namespaces.
    namespace: Option<String>,
    /// Listed so far, while a list is under way.
    listed: HashSet<Name>,
}

impl<K: ResourceExt> Filler<K> {
    pub fn new(cache: Cache<K>, namespace: Option<String>) -> Filler<K> {
        Filler { cache, namespace, listed: HashSet::new() }
    }

    pub fn take(&mut self, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Apply(object) => vec![self.cache.put(object)],
            Event::Delete(object) => vec![self.cache.remove(&Name::of(&object))],
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(Name::of(&object));
                vec![self.cache.put(object)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let ours = |name: &Name| self.namespace.as_ref().is_none_or(|namespace| *namespace == name.namespace);
                let gone = self.cache.names().into_iter().filter(|name| ours(name) && !listed.contains(name));
                gone.map(|name| self.cache.remove(&name)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;

    use super::*;

    fn service(namespace: &str, name: &str, version: u64) -> Service {
        let mut service = Service::default();
        service.metadata.namespace = Some(namespace.into());
        service.metadata.name = Some(name.into());
        service.metadata.resource_version = Some(version.to_string());
        service
    }

    #[test]
    fn a_new_list_removes_what_it_does_not_name_in_its_own_namespace_only() {
        let cache = Cache::default();
        let mut one = Filler::new(cache.clone(), Some("one".into()));
        let mut two = Filler::new(cache.clone(), Some("two".into()));
        one.take(Event::Apply(service("one", "a", 1)));
        one.take(Event::Apply(service("one", "b", 2)));
        two.take(Event::Apply(service("two", "a", 3)));
        one.take(Event::Init);
        assert_eq!(one.take(Event::InitApply(service("one", "b", 4))).len(), 1);
        let gone = one.take(Event::InitDone);
        assert_eq!(gone.len(), 1);
        assert!(gone[0].before.as_ref().is_some_and(|gone| gone.name_any() == "a"));
        assert_eq!(cache.len(), 2);
    }

    /// The answer to the last write of one that was deleted may come after the watch has told of its successor.
    #[test]
    fn an_older_version_is_not_taken_also_of_another_object() {
        let cache = Cache::default();
        for (uid, version) in [("new", 9), ("new", 8), ("old", 8)] {
            let mut answer = service("one", "a", version);
            answer.metadata.uid = Some(uid.into());
            cache.put(answer);
            let held = cache.get(&Name::new("one", "a")).unwrap();
            assert_eq!((held.resource_version().unwrap(), held.uid().unwrap()), ("9".to_owned(), "new".to_owned()));
        }
    }
}
