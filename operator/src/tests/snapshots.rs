//! For tests: what is built, compared with a file. `UPDATE_SNAPSHOTS=1` writes the files anew; read what changed.

use std::fmt::Debug;
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::apply::{Wanted, unchanged};

/// One file's objects. Each is checked to have only fields that its kind knows.
#[derive(Default)]
pub struct Snapshot(Vec<Value>);

impl Snapshot {
    pub fn add<K>(&mut self, wanted: &Wanted<K>)
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Debug,
    {
        let typed: K = serde_json::from_value(wanted.value().clone()).unwrap();
        let back = serde_json::to_value(&typed).unwrap();
        let lost = unchanged::difference(&back, wanted.value());
        assert_eq!(lost, None, "a field that {} does not know: {back:#}", K::kind(&()));
        self.0.push(wanted.value().clone());
    }

    /// Without the texts, which are different each time.
    pub fn add_secret(&mut self, wanted: &Wanted<Secret>) {
        self.add(wanted);
        if let Some(data) = self.0.last_mut().and_then(|last| last["data"].as_object_mut()) {
            data.values_mut().for_each(|text| *text = json!("..."));
        }
    }

    pub fn compare(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshots").join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&self.0).unwrap() + "\n";
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(known == text, "{} is not what is built; UPDATE_SNAPSHOTS=1 writes it anew:\n{text}", path.display());
    }
}

/// An SshMaster as an API server would give it, with fields of `spec` replaced.
pub fn master(change: Value) -> crds::SshMaster {
    let mut spec = json!({
        "publicUrl": "https://hg.example.org",
        "sshHost": "hg.example.org",
        "directory": {
            "authorizedKeys": {"secretRef": {"name": "developers"}},
            "groups": [{"name": "developers", "members": ["*"]}],
        },
    });
    set(&mut spec, change);
    serde_json::from_value(json!({
        "apiVersion": "hg-operator.dev/v1alpha1",
        "kind": "SshMaster",
        "metadata": {"name": "hg", "namespace": "code", "uid": "1-2", "generation": 3, "resourceVersion": "9"},
        "spec": spec,
    }))
    .unwrap()
}

pub fn pool(change: Value) -> crds::MirrorPool {
    let mut spec = json!({"masterRef": {"name": "hg"}});
    set(&mut spec, change);
    serde_json::from_value(json!({
        "apiVersion": "hg-operator.dev/v1alpha1",
        "kind": "MirrorPool",
        "metadata": {"name": "web", "namespace": "code", "uid": "3-4", "generation": 1, "resourceVersion": "9"},
        "spec": spec,
    }))
    .unwrap()
}

fn set(spec: &mut Value, change: Value) {
    if let (Value::Object(spec), Value::Object(change)) = (spec, change) {
        spec.extend(change);
    }
}
