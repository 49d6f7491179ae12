//! Concerns: whom a change wakes.

use crds::{HgRepository, MirrorPool, SshMaster};
use kube::ResourceExt;

use super::World;
use super::cache::{Change, Name};

/// A resource of ours, in the order in which they are looked at when much is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Master(Name),
    Pool(Name),
    Repository(Name),
}

impl Key {
    pub fn kind(&self) -> &'static str {
        match self {
            Key::Master(_) => "SshMaster",
            Key::Pool(_) => "MirrorPool",
            Key::Repository(_) => "HgRepository",
        }
    }

    pub fn name(&self) -> &Name {
        match self {
            Key::Master(name) | Key::Pool(name) | Key::Repository(name) => name,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// A SshMaster: itself, and when it comes or goes, everybody who names it; repositories also when something has
/// changed that their status says.
pub fn of_master(world: &World, change: &Change<SshMaster>) -> Vec<Key> {
    let mut keys: Vec<Key> = itself(change).map(Key::Master).into_iter().collect();
    let shown = |master: &Option<std::sync::Arc<SshMaster>>| {
        let spec = &master.as_ref()?.spec;
        let urls = (spec.public_url.clone(), spec.ssh_host.clone(), spec.service.port);
        Some((spec.suspend, urls))
    };
    let name = &change.name;
    let of_it =
        |namespace: Option<String>, named: &str| namespace.as_deref() == Some(&name.namespace) && named == name.name;
    if !keys.is_empty() {
        let pools = world.pools.find(|pool| of_it(pool.namespace(), &pool.spec.master_ref.name));
        keys.extend(pools.iter().map(|pool| Key::Pool(Name::of(pool.as_ref()))));
    }
    if shown(&change.before) != shown(&change.after) {
        let all =
            world.repositories.find(|repository| of_it(repository.namespace(), &repository.spec.master_ref.name));
        keys.extend(all.iter().map(|repository| Key::Repository(Name::of(repository.as_ref()))));
    }
    keys
}

/// A MirrorPool: itself, and its SshMaster, which is told of bounds and the floor.
pub fn of_pool(_: &World, change: &Change<MirrorPool>) -> Vec<Key> {
    let Some(own) = itself(change) else { return Vec::new() };
    let master = |pool: &std::sync::Arc<MirrorPool>| {
        Key::Master(Name::new(own.namespace.clone(), pool.spec.master_ref.name.clone()))
    };
    let mut keys: Vec<Key> = change.objects().map(master).collect();
    keys.push(Key::Pool(own));
    keys
}

/// A HgRepository: itself, and who else wants its path.
pub fn of_repository(world: &World, change: &Change<HgRepository>) -> Vec<Key> {
    world.paths.note(change);
    let Some(own) = itself(change) else { return Vec::new() };
    let mut keys = vec![Key::Repository(own.clone())];
    for repository in change.objects() {
        let others = world.paths.who(repository).into_iter().filter(|name| *name != own);
        keys.extend(others.map(Key::Repository));
    }
    keys
}

/// An object of ours: the resource that it is of, by its labels.
pub fn of_object<K: ResourceExt>(_: &World, change: &Change<K>) -> Vec<Key> {
    let Some(object) = change.objects().last() else { return Vec::new() };
    let label = |name: &str| object.labels().get(name).cloned();
    let Some(instance) = label("app.kubernetes.io/instance") else { return Vec::new() };
    let name = Name::new(object.namespace().unwrap_or_default(), instance);
    match label("app.kubernetes.io/component").as_deref() {
        Some("ssh") => vec![Key::Master(name)],
        Some("mirror") => vec![Key::Pool(name)],
        _ => Vec::new(),
    }
}

/// None: only its status has changed, which is our own word.
fn itself<K: ResourceExt>(change: &Change<K>) -> Option<Name> {
    let matters = |object: &K| {
        let metadata = object.meta();
        let finalizers = metadata.finalizers.clone();
        (
            object.uid(),
            metadata.generation,
            metadata.deletion_timestamp.is_some(),
            finalizers,
            object.annotations().clone(),
        )
    };
    let (before, after) = (change.before.as_deref().map(matters), change.after.as_deref().map(matters));
    if before == after && before.is_some() {
        return None;
    }
    Some(change.name.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::tests::snapshots::master;

    #[test]
    fn what_repositories_tell_of_their_master_wakes_them() {
        let world = World::default();
        let repository = json!({
            "apiVersion": "hg-operator.dev/v1alpha1", "kind": "HgRepository",
            "metadata": {"name": "a", "namespace": "code", "uid": "1"},
            "spec": {"path": "a", "masterRef": {"name": "hg"}},
        });
        world.repositories.put(serde_json::from_value(repository).unwrap());
        let woken = |change: Value| {
            let of = |generation: i64, change: Value| {
                let mut master = master(change);
                master.metadata.generation = Some(generation);
                Some(Arc::new(master))
            };
            let name = Name::new("code", "hg");
            let change = Change { name, before: of(1, json!({})), after: of(2, change) };
            of_master(&world, &change).iter().any(|key| matches!(key, Key::Repository(_)))
        };
        for told in [
            json!({"publicUrl": "https://other.example.org"}),
            json!({"sshHost": "other.example.org"}),
            json!({"service": {"port": 2200}}),
            json!({"suspend": true}),
        ] {
            assert!(woken(told.clone()), "{told}");
        }
        assert!(!woken(json!({"image": "example/other:2"})));
        // That the master refuses pushes is told by the master.
        assert!(!woken(json!({"readOnly": {"reason": "moving"}})));
    }
}
