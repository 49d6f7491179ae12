//! Cache of what the API server last said about one kind of object.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

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

/// An object came, changed or went. Neither before nor after: one is there that could never be read.
pub struct Change<K> {
    pub name: Name,
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
    /// Answers whether it came, or says something else of what is wanted.
    pub fn is_new_spec(&self) -> bool {
        let generation = |object: &Option<Arc<K>>| object.as_ref().map(|object| object.meta().generation);
        generation(&self.before) != generation(&self.after)
    }
}

/// A shared handle.
pub struct Cache<K> {
    kept: Arc<RwLock<Kept<K>>>,
}

struct Kept<K> {
    objects: HashMap<Name, Arc<K>>,
    /// Unreadable objects: our types refuse what the API server has of them. Those that could be read before are kept
    /// as they were then, with their new metadata: they are there, and what is decided from them is what was decided
    /// before.
    unreadable: HashSet<Name>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Cache<K> {
        Cache { kept: self.kept.clone() }
    }
}

impl<K> Default for Cache<K> {
    fn default() -> Cache<K> {
        Cache { kept: Arc::new(RwLock::new(Kept { objects: HashMap::new(), unreadable: HashSet::new() })) }
    }
}

impl<K: ResourceExt + Clone> Cache<K> {
    pub fn get(&self, name: &Name) -> Option<Arc<K>> {
        self.read().objects.get(name).cloned()
    }

    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    pub fn names(&self) -> Vec<Name> {
        self.read().objects.keys().cloned().collect()
    }

    /// Also those that could never be read.
    fn all(&self) -> HashSet<Name> {
        let kept = self.read();
        kept.objects.keys().chain(&kept.unreadable).cloned().collect()
    }

    pub fn find(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let mut found: Vec<Arc<K>> = self.read().objects.values().filter(|object| wanted(object)).cloned().collect();
        found.sort_by_cached_key(|object| Name::of(object.as_ref()));
        found
    }

    pub fn is_unreadable(&self, name: &Name) -> bool {
        self.read().unreadable.contains(name)
    }

    /// One that is there and could never be read, in this namespace: nobody knows what it asks for.
    pub fn unknown(&self, namespace: &str) -> Option<Name> {
        let kept = self.read();
        let is_unknown = |name: &&Name| name.namespace == namespace && !kept.objects.contains_key(*name);
        kept.unreadable.iter().find(is_unknown).cloned()
    }

    /// Also used to put in what a write answered, so that the next look sees it; an older answer than what a watch
    /// has said meanwhile is not taken, also when that is about another object of the same name.
    pub fn put(&self, object: K) -> Change<K> {
        let name = Name::of(&object);
        let mut kept = self.write();
        let before = kept.objects.get(&name).cloned();
        if let Some(known) = &before
            && version(known.as_ref()) > version(&object)
        {
            return Change { name, after: before.clone(), before };
        }
        let after = Arc::new(object);
        kept.unreadable.remove(&name);
        kept.objects.insert(name.clone(), after.clone());
        Change { name, before, after: Some(after) }
    }

    fn put_unreadable(&self, found: &DeserializeGuard<K>) -> Change<K> {
        let name = Name::of(found);
        let mut kept = self.write();
        let before = kept.objects.get(&name).cloned();
        if before.as_deref().is_some_and(|known| version(known) > version(found)) {
            return Change { name, after: before.clone(), before };
        }
        let last = before.as_deref().filter(|last| last.uid() == found.uid()).cloned();
        let after = last.map(|mut last| {
            last.meta_mut().clone_from(found.meta());
            Arc::new(last)
        });
        kept.unreadable.insert(name.clone());
        kept.objects.remove(&name);
        kept.objects.extend(after.iter().map(|last| (name.clone(), last.clone())));
        Change { name, before, after }
    }

    pub fn remove(&self, name: &Name) -> Change<K> {
        let mut kept = self.write();
        kept.unreadable.remove(name);
        Change { name: name.clone(), before: kept.objects.remove(name), after: None }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Kept<K>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Kept<K>> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
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

impl<K: Resource<DynamicType = ()> + Clone> Filler<K> {
    pub fn new(cache: Cache<K>, namespace: Option<String>) -> Filler<K> {
        Filler { cache, namespace, listed: HashSet::new() }
    }

    pub fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Change<K>> {
        match event {
            Event::Apply(found) => vec![self.put(found)],
            Event::Delete(found) => vec![self.cache.remove(&Name::of(&found))],
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(found) => {
                self.listed.insert(Name::of(&found));
                vec![self.put(found)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let ours = |name: &Name| self.namespace.as_ref().is_none_or(|namespace| *namespace == name.namespace);
                let gone = self.cache.all().into_iter().filter(|name| ours(name) && !listed.contains(name));
                gone.map(|name| self.cache.remove(&name)).collect()
            }
        }
    }

    fn put(&self, found: DeserializeGuard<K>) -> Change<K> {
        match found.0 {
            Ok(object) => self.cache.put(object),
            Err(_) => self.cache.put_unreadable(&found),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Service, ServiceSpec};
    use kube::core::error_boundary::InvalidObject;

    use super::*;

    fn service(namespace: &str, name: &str, version: u64) -> Service {
        let mut service = Service::default();
        service.metadata.namespace = Some(namespace.into());
        service.metadata.name = Some(name.into());
        service.metadata.resource_version = Some(version.to_string());
        service
    }

    fn good(service: Service) -> DeserializeGuard<Service> {
        DeserializeGuard(Ok(service))
    }

    fn refused(service: Service) -> DeserializeGuard<Service> {
        DeserializeGuard(Err(InvalidObject { error: "no such field".into(), metadata: service.metadata }))
    }

    #[test]
    fn one_that_cannot_be_read_stays_as_it_was_known_until_it_goes() {
        let cache = Cache::default();
        let mut filler = Filler::new(cache.clone(), None);
        let name = Name::new("one", "a");
        let mut first = service("one", "a", 1);
        first.spec = Some(ServiceSpec::default());
        filler.take(Event::Apply(good(first.clone())));
        for (list, version) in [(false, 2), (true, 3)] {
            let found = refused(service("one", "a", version));
            if list {
                filler.take(Event::Init);
                filler.take(Event::InitApply(found));
                assert!(filler.take(Event::InitDone).is_empty());
            } else {
                filler.take(Event::Apply(found));
            }
            let known = cache.get(&name).unwrap();
            assert!(known.spec.is_some() && super::version(known.as_ref()) == version && cache.is_unreadable(&name));
            assert_eq!(cache.unknown("one"), None);
        }
        filler.take(Event::Apply(refused(service("one", "a", 2))));
        assert_eq!(super::version(cache.get(&name).unwrap().as_ref()), 3, "an older one");

        let mut other = service("one", "a", 4);
        other.metadata.uid = Some("other".into());
        filler.take(Event::Apply(refused(other)));
        assert!(cache.get(&name).is_none(), "another one of that name was never read");
        assert_eq!((cache.unknown("one"), cache.unknown("two")), (Some(name.clone()), None));
        filler.take(Event::Init);
        assert_eq!(filler.take(Event::InitDone)[0].name, name);
        assert!(!cache.is_unreadable(&name));

        filler.take(Event::Apply(refused(service("one", "a", 5))));
        filler.take(Event::Apply(good(service("one", "a", 6))));
        assert!(cache.get(&name).is_some() && !cache.is_unreadable(&name));
    }

    #[test]
    fn a_new_list_removes_what_it_does_not_name_in_its_own_namespace_only() {
        let cache = Cache::default();
        let mut one = Filler::new(cache.clone(), Some("one".into()));
        let mut two = Filler::new(cache.clone(), Some("two".into()));
        one.take(Event::Apply(good(service("one", "a", 1))));
        one.take(Event::Apply(good(service("one", "b", 2))));
        two.take(Event::Apply(good(service("two", "a", 3))));
        one.take(Event::Init);
        assert_eq!(one.take(Event::InitApply(good(service("one", "b", 4)))).len(), 1);
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
