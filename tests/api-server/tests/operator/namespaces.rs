//! The operator with the Roles of two namespaces, as the chart renders them, instead of rights everywhere.

use std::collections::BTreeSet;

use api_server::{ApiServer, Operator, Proxy};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT};
use crate::{master, repository, rights};

const WATCHED: [&str; 2] = ["red", "blue"];

#[tokio::test]
async fn two_namespaces_are_served_with_their_roles_alone() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    let client = server.client().await;
    Cluster::new(client.clone(), "default").install().await;
    for namespace in [&WATCHED[..], &["hg-operator", "other"]].concat() {
        let made: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &made).await.unwrap();
    }
    grant(&client).await;
    let proxy = Proxy::start(server.client_as(rights::ACCOUNT).await, None).await;
    let kubeconfig = folder.path().join("kubeconfig.json");
    std::fs::write(&kubeconfig, proxy.kubeconfig()).unwrap();
    let own = ["--own-namespace", "hg-operator", "--namespace", WATCHED[0], "--namespace", WATCHED[1]];
    let operator = Operator::start_with(&kubeconfig, "one", folder.path(), &own);
    operator.wait_until_acting(LIMIT).await;
    assert!(operator.is_ready().await);

    let clusters = [&WATCHED[..], &["other"]].concat().into_iter();
    let clusters: Vec<Cluster> = clusters.map(|namespace| Cluster::new(client.clone(), namespace)).collect();
    for cluster in &clusters {
        furnish(cluster).await;
    }
    let (watched, other) = clusters.split_at(WATCHED.len());
    for cluster in watched {
        cluster.wait_for::<StatefulSet>("hg-ssh").await;
        cluster.wait_for::<StatefulSet>("web-mirror").await;
        cluster.wait_for::<Service>("web-http").await;
        cluster.wait_for_roles().await;
        cluster.wait_for_reason("MirrorPool", "web", "Available", "NoActiveMirror").await;
        cluster.wait_for_reason("HgRepository", "a", "Ready", "MasterNotReady").await;
    }
    what_people_write_is_seen_in_each(watched).await;
    assert_eq!(other[0].versions().await.keys().filter(|name| name.contains("hg-ssh")).count(), 0);
    assert!(other[0].condition("SshMaster", "hg", "Ready").await.is_none());
    assert!(proxy.not_allowed().is_empty(), "not granted: {:#?}", proxy.not_allowed());
    ages_are_told_once_a_kind(&operator).await;
    the_namespace_that_is_silent_for_longest_counts(&watched[1], &operator).await;
}

async fn furnish(cluster: &Cluster) {
    let users = json!({"metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""}});
    let users: Secret = serde_json::from_value(users).unwrap();
    cluster.api().create(&PostParams::default(), &users).await.unwrap();
    cluster.apply("SshMaster", "hg", master()).await;
    cluster.apply("MirrorPool", "web", json!({"masterRef": {"name": "hg"}})).await;
    cluster.apply("HgRepository", "a", repository("a")).await;
}

/// Named secrets have watches of their own.
async fn what_people_write_is_seen_in_each(clusters: &[Cluster]) {
    for cluster in clusters {
        let patch = kube::api::Patch::Merge(json!({"data": {"authorized_keys": null, "other": ""}}));
        cluster.api::<Secret>().patch("developers", &Default::default(), &patch).await.unwrap();
        cluster.wait_for_reason("SshMaster", "hg", "DirectoryReachable", "SecretInvalid").await;
    }
}

/// No label grows with the number of namespaces.
async fn ages_are_told_once_a_kind(operator: &Operator) {
    let metrics = operator.metrics().await;
    let ages = metrics.lines().filter_map(|line| line.strip_prefix("hg_operator_watch_last_event_age_seconds"));
    let kinds: Vec<&str> = ages.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(kinds.len(), kinds.iter().collect::<BTreeSet<_>>().len(), "{kinds:?}");
    for kind in ["{kind=\"SshMaster\"}", "{kind=\"NamedSecret\"}"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
}

/// The other one has nothing to tell meanwhile.
async fn the_namespace_that_is_silent_for_longest_counts(cluster: &Cluster, operator: &Operator) {
    const AGE: &str = "hg_operator_watch_last_event_age_seconds{kind=\"HgRepository\"}";
    const NEWEST: &str = "hg_operator_watch_newest_version{kind=\"HgRepository\"}";
    let is_old = async || (operator.metric(AGE).await >= Some(3.0)).then_some(());
    cluster.until("both are silent", is_old).await;
    let before = operator.metric(NEWEST).await;
    let mut spec = repository("a");
    spec["description"] = "another".into();
    cluster.apply("HgRepository", "a", spec).await;
    cluster.until("it is heard in one of them", async || (operator.metric(NEWEST).await > before).then_some(())).await;
    assert_eq!(is_old().await, Some(()), "the other one is as silent as before");
}

/// Everything of rights that the chart renders, and nothing else.
async fn grant(client: &kube::Client) {
    let namespaces = format!("watchNamespaces={{{}}}", WATCHED.join(","));
    let rendered = chart::objects(&chart::render(&["--set", &namespaces]).unwrap()).unwrap();
    let roles: Vec<&Value> =
        rendered.iter().filter(|one| one["apiVersion"] == "rbac.authorization.k8s.io/v1").collect();
    let kinds: BTreeSet<&str> = roles.iter().filter_map(|one| one["kind"].as_str()).collect();
    // Those of people are ClusterRoles, and bound to nobody.
    assert!(!kinds.contains("ClusterRoleBinding"), "{kinds:?}");
    for role in roles.into_iter().filter(|one| one["kind"] != "ClusterRole") {
        let object: DynamicObject = serde_json::from_value(role.clone()).unwrap();
        let kind = object.types.clone().unwrap().kind;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", &kind));
        let namespace = object.metadata.namespace.clone().unwrap();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}
