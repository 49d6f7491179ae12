//! There and back again: whatever the spec was changed to in between, the objects are as before; and what is bad,
//! which only the operator or another kind's rules can see, changes none of them and is told in a sentence.

use std::collections::BTreeMap;

use api_server::{ApiServer, Operator};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT};
use crate::{master, repository};

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
    cluster.apply("HgRepository", "a", repository("a")).await;
    cluster.wait_for_reason("HgRepository", "a", "Ready", "MasterNotReady").await;
    cluster.wait_for_roles().await;
    cluster.wait_for::<StatefulSet>("web-mirror").await;
    cluster.wait_until_settled(&operator).await;
    let before = objects(&cluster).await;
    assert!(before.len() > 15, "{:#?}", before.keys());

    let (of_master, of_pool, of_repository) = (("SshMaster", "hg"), ("MirrorPool", "web"), ("HgRepository", "a"));
    for change in of_the_master() {
        there_and_back(&cluster, &operator, of_master, &master, change, &before).await;
    }
    for change in of_the_pool() {
        there_and_back(&cluster, &operator, of_pool, &pool, change, &before).await;
    }
    let told = cluster.ours("HgRepository").get("a").await.unwrap();
    for change in of_the_repository() {
        there_and_back(&cluster, &operator, of_repository, &repository("a"), change, &before).await;
        let back = cluster.ours("HgRepository").get("a").await.unwrap();
        assert_eq!(back.metadata.finalizers, told.metadata.finalizers);
        assert_eq!(reasons(&back), reasons(&told));
    }
    for bad in bad_for_the_master() {
        nothing_changes(&cluster, &operator, of_master, &master, bad, &before).await;
    }
    for bad in bad_for_the_pool() {
        nothing_changes(&cluster, &operator, of_pool, &pool, bad, &before).await;
    }
    let suspended = json!({"suspend": true, "publicUrl": "https://suspended.example.org"});
    cluster.apply("SshMaster", "hg", merged(&master, &suspended)).await;
    cluster.wait_for_reason("SshMaster", "hg", "Suspended", "SuspendedBySpec").await;
    cluster.wait_until_settled(&operator).await;
    assert_eq!(objects(&cluster).await, before, "it is suspended");
}

/// Bad change, the reason of the Ready condition, and words of its message.
type Bad = (Value, &'static str, &'static str);

fn reasons(object: &DynamicObject) -> Vec<(Value, Value)> {
    let conditions = object.data["status"]["conditions"].as_array().unwrap().iter();
    conditions.map(|one| (one["type"].clone(), one["reason"].clone())).collect()
}

async fn nothing_changes(
    cluster: &Cluster,
    operator: &Operator,
    (kind, name): (&str, &str),
    spec: &Value,
    (change, reason, words): Bad,
    before: &BTreeMap<String, Value>,
) {
    cluster.apply(kind, name, merged(spec, &change)).await;
    let message = cluster.wait_for_reason(kind, name, "Ready", reason).await;
    assert!(message.contains(words) && message.lines().count() == 1, "{change}: {message}");
    cluster.wait_until_settled(operator).await;
    let found = objects(cluster).await;
    let differs: Vec<&String> = found.keys().filter(|name| before.get(*name) != found.get(*name)).collect();
    assert!(found == *before, "{change} has changed {differs:?}");
    cluster.apply(kind, name, spec.clone()).await;
    cluster
        .until(&format!("{kind} is without {change}"), async || {
            let (_, found, _) = cluster.condition(kind, name, "Ready").await?;
            (found != reason).then_some(())
        })
        .await;
}

pub fn merged(spec: &Value, change: &Value) -> Value {
    let mut changed = spec.clone();
    merge(&mut changed, change);
    changed
}

/// Lists what changes objects, and what only the operator can see to be wrong.
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
    ]
}

/// Each with the reason and words of the sentence, which names the field.
fn bad_for_the_master() -> Vec<Bad> {
    let field = |change: Value, words: &'static str| (change, "SpecInvalid", words);
    let affinity = |operator: &str| {
        let expressions = json!([{"key": "disk", "operator": operator, "values": ["ssd"]}]);
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": expressions}]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
    };
    vec![
        (
            json!({"directory": {"authorizedKeys": {"secretRef": {"name": "nobody"}}}}),
            "SecretMissing",
            "spec.directory.authorizedKeys.secretRef.name: there is no Secret 'nobody'",
        ),
        (json!({"hostKeysSecretRef": {"name": "nothing"}}), "SecretMissing", "spec.hostKeysSecretRef.name: there is"),
        field(json!({"podAnnotations": {"a b": "c"}}), "spec.podAnnotations: 'a b'"),
        field(json!({"service": {"annotations": {"-a": "c"}}}), "spec.service.annotations: '-a'"),
        field(json!({"nodeSelector": {"disk!": "ssd"}}), "spec.nodeSelector: 'disk!'"),
        field(json!({"nodeSelector": {"disk": "s s d"}}), "spec.nodeSelector.disk: 's s d'"),
        field(json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}), "tolerations[0]"),
        field(affinity("Near"), "affinity.nodeAffinity"),
    ]
}

fn bad_for_the_pool() -> Vec<Bad> {
    vec![
        (json!({"podAnnotations": {"a b": "c"}}), "SpecInvalid", "spec.podAnnotations: 'a b'"),
        (json!({"service": {"annotations": {"-a": "c"}}}), "SpecInvalid", "spec.service.annotations: '-a'"),
        (json!({"nodeSelector": {"disk!": "ssd"}}), "SpecInvalid", "spec.nodeSelector: 'disk!'"),
        (json!({"tolerations": [{"key": "a b"}]}), "SpecInvalid", "tolerations[0].key"),
    ]
}

/// Where no master answers that could be told.
fn of_the_repository() -> Vec<Value> {
    vec![
        json!({"deletionPolicy": "Delete"}),
        json!({"readGroups": ["staff"], "writeGroups": ["staff"], "readOnly": {"reason": "moving"}}),
        json!({"description": "another", "publishing": false}),
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
    cluster.apply(kind, name, merged(spec, &change)).await;
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

/// Lists what the operator has made, as people see it: without versions and what others say in them.
pub async fn objects(cluster: &Cluster) -> BTreeMap<String, Value> {
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
