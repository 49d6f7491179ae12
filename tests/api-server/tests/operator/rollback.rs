//! There and back again: whatever the spec was changed to in between, good or bad, the objects are as before.

use std::collections::BTreeMap;

use api_server::{ApiServer, Operator};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ListParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT};
use crate::master;

#[tokio::test]
async fn a_spec_that_returns_leaves_the_objects_that_it_had() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(server.client().await, "default");
    cluster.install().await;
    let users = json!({"metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""}});
    let users: Secret = serde_json::from_value(users).unwrap();
    cluster.api().create(&PostParams::default(), &users).await.unwrap();
    let operator = Operator::start(&server, "one", folder.path());
    operator.wait_until_acting(LIMIT).await;
    let pool = json!({"masterRef": {"name": "hg"}, "replicas": 2});
    // One that names no image keeps the one that it had.
    let mut master = master();
    master["image"] = "example/hg-operator:1".into();
    cluster.apply("SshMaster", "hg", master.clone()).await;
    cluster.apply("MirrorPool", "web", pool.clone()).await;
    cluster.wait_for_roles().await;
    cluster.wait_for::<StatefulSet>("web-mirror").await;
    cluster.wait_until_settled(&operator).await;
    let before = objects(&cluster).await;
    assert!(before.len() > 15, "{:#?}", before.keys());

    for change in of_the_master() {
        there_and_back(&cluster, &operator, ("SshMaster", "hg"), &master, change, &before).await;
    }
    for change in of_the_pool() {
        there_and_back(&cluster, &operator, ("MirrorPool", "web"), &pool, change, &before).await;
    }
}

/// What changes objects, and what only the operator can see to be wrong.
fn of_the_master() -> Vec<Value> {
    vec![
        json!({"instances": 3}),
        json!({"publicUrl": "https://other.example.org", "image": "example/other:2"}),
        json!({"service": {"type": "NodePort", "port": 2200, "annotations": {"a": "b"}}}),
        json!({"log": {"retention": {"age": "24h", "size": "1Gi"}, "durability": "Strict"}}),
        json!({"readOnly": {"reason": "moving"}, "directory": {"groups": [{"name": "all", "members": ["*"]}]}}),
        json!({
            "resources": {"requests": {"cpu": "0.5", "memory": "0.5Gi"}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "hg", "operator": "Exists"}],
            "podAnnotations": {"c": "d"},
            "imagePullSecrets": [{"name": "pull"}],
        }),
        json!({"directory": {"authorizedKeys": {"secretRef": {"name": "nobody"}}}}),
        json!({"hostKeysSecretRef": {"name": "nothing"}}),
        json!({"suspend": true, "publicUrl": "https://suspended.example.org"}),
    ]
}

fn of_the_pool() -> Vec<Value> {
    vec![
        json!({"service": {"type": "NodePort", "http": 8000, "annotations": {"a": "b"}}}),
        json!({"maxLag": {"records": 7, "seconds": 8}, "minActive": 2}),
        json!({"web": {"workers": 5}, "resources": {"limits": {"memory": "1Gi"}}}),
    ]
}

async fn there_and_back(
    cluster: &Cluster,
    operator: &Operator,
    (kind, name): (&str, &str),
    spec: &Value,
    change: Value,
    before: &BTreeMap<String, Value>,
) {
    let mut changed = spec.clone();
    merge(&mut changed, &change);
    cluster.apply(kind, name, changed).await;
    cluster.wait_until_settled(operator).await;
    let there = objects(cluster).await;
    cluster.apply(kind, name, spec.clone()).await;
    cluster
        .until(&format!("{kind} without {change} has what it had"), async || {
            cluster.wait_until_settled(operator).await;
            let back = objects(cluster).await;
            let same = back == *before;
            if !same {
                let differs = back.iter().filter(|(name, value)| before.get(*name) != Some(*value));
                eprintln!("{change}: {:?}", differs.map(|(name, _)| name).collect::<Vec<_>>());
            }
            same.then_some(())
        })
        .await;
    assert!(there.len() >= before.len(), "{change}: something was taken away");
}

fn merge(spec: &mut Value, change: &Value) {
    match (spec, change) {
        (Value::Object(spec), Value::Object(change)) => {
            for (name, value) in change {
                merge(spec.entry(name).or_insert(Value::Null), value);
            }
        }
        (spec, change) => *spec = change.clone(),
    }
}

/// What the operator has made, as people see it: without versions and what others say in them.
async fn objects(cluster: &Cluster) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    add::<StatefulSet>(cluster, &mut all).await;
    add::<Service>(cluster, &mut all).await;
    add::<ConfigMap>(cluster, &mut all).await;
    add::<Secret>(cluster, &mut all).await;
    add::<PodDisruptionBudget>(cluster, &mut all).await;
    add::<NetworkPolicy>(cluster, &mut all).await;
    add::<ServiceAccount>(cluster, &mut all).await;
    add::<Role>(cluster, &mut all).await;
    add::<RoleBinding>(cluster, &mut all).await;
    all
}

async fn add<K>(cluster: &Cluster, all: &mut BTreeMap<String, Value>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize,
    K: std::fmt::Debug,
{
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=hg-operator");
    for mut object in cluster.api::<K>().list(&ours).await.unwrap() {
        let name = format!("{} {}", K::kind(&()), object.name_any());
        let metadata = object.meta_mut();
        metadata.managed_fields = None;
        metadata.resource_version = None;
        metadata.generation = None;
        let mut value = serde_json::to_value(object).unwrap();
        value.as_object_mut().unwrap().remove("status");
        all.insert(name, value);
    }
}
