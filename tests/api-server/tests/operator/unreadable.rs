//! A resource that the operator's types refuse, as it may have been stored under the definitions of another version:
//! that is told, what runs for it is left alone, and nobody else waits for it.

use std::collections::BTreeMap;
use std::path::Path;

use api_server::{ApiServer, Operator};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT};
use crate::rollback::{merged, objects};
use crate::{master, repository};

#[tokio::test]
async fn one_that_cannot_be_read_is_told_and_left_alone() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(server.client().await, "default");
    cluster.install().await;
    loosen(&cluster).await;
    let users = json!({"metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""}});
    let users: Secret = serde_json::from_value(users).unwrap();
    cluster.api().create(&PostParams::default(), &users).await.unwrap();
    cluster.apply("SshMaster", "hg", master()).await;
    cluster.apply("MirrorPool", "web", pool(2)).await;
    cluster.apply("MirrorPool", "other", pool(1)).await;
    cluster.apply("HgRepository", "a", repository("a")).await;
    let first = operator(&server, folder.path(), "first");
    cluster.wait_for_reason("HgRepository", "a", "Ready", "MasterNotReady").await;
    cluster.wait_for_roles().await;
    cluster.wait_for::<StatefulSet>("other-mirror").await;
    cluster.wait_for::<StatefulSet>("web-mirror").await;
    cluster.wait_until_settled(&first).await;

    store(&cluster, "MirrorPool", "web", pool(2), json!({"shards": 3}), "spec.shards").await;
    store(&cluster, "HgRepository", "a", repository("a"), json!({"deletionPolicy": "Archive"}), "spec.deletionPolicy")
        .await;
    the_others_go_on(&cluster).await;
    store(&cluster, "SshMaster", "hg", moved(), json!({"instances": "two"}), "spec.instances").await;
    labels_follow_the_register(&cluster).await;
    cluster.wait_until_settled(&first).await;
    let before = objects(&cluster).await;
    drop(first);

    let second = operator(&server, folder.path(), "second");
    nothing_is_taken_for_deleted(&cluster, &second, &before).await;
    cluster.apply("SshMaster", "hg", moved()).await;
    let message = cluster.wait_for_reason("SshMaster", "hg", "Ready", "Reconciling").await;
    assert!(message.starts_with("MirrorPool 'web' cannot be read: "), "{message}");
    cluster.apply("HgRepository", "a", repository("a")).await;
    cluster.wait_for_reason("HgRepository", "a", "Ready", "MasterNotReady").await;
    assert_eq!(objects(&cluster).await, before);

    cluster.apply("MirrorPool", "web", pool(3)).await;
    wait_for_mirrors(&cluster, "web-mirror", 3).await;
    cluster
        .until("the SshMaster is looked at again", async || {
            let (_, reason, _) = cluster.condition("SshMaster", "hg", "Ready").await?;
            (reason != "Reconciling").then_some(())
        })
        .await;
}

fn pool(replicas: u32) -> Value {
    json!({"masterRef": {"name": "hg"}, "replicas": replicas})
}

fn moved() -> Value {
    merged(&master(), &json!({"service": {"port": 2200}}))
}

/// Each has an election of its own: the first one's Lease need not run out.
fn operator(server: &ApiServer, folder: &Path, identity: &str) -> Operator {
    let lease = format!("election-{identity}");
    let arguments = ["--own-namespace", "default", "--lease-name", &lease];
    Operator::start_with(server.kubeconfig(), identity, folder, &arguments)
}

/// The definitions are those of another version, which allows what ours does not. Until they are in force, what they
/// do not know is dropped.
async fn loosen(cluster: &Cluster) {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    for definition in crds::definitions().unwrap() {
        let kind = definition.spec.names.kind.clone();
        let mut definition = json!(definition);
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = anything;
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&definition)).await.unwrap();
        let object = json!({
            "apiVersion": "hg-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": "none"},
            "spec": {"anything": true},
        });
        cluster
            .until("the definition is in force", async || {
                let dry = PatchParams { dry_run: true, ..PatchParams::apply("test") };
                let made = cluster.ours(&kind).patch("none", &dry, &Patch::Apply(&object)).await.ok()?;
                (made.data["spec"]["anything"] == true).then_some(())
            })
            .await;
    }
}

/// Stores what our types refuse, and waits until that is told.
async fn store(cluster: &Cluster, kind: &str, name: &str, spec: Value, change: Value, field: &str) {
    cluster.apply(kind, name, merged(&spec, &change)).await;
    let message = cluster.wait_for_reason(kind, name, "Ready", "SpecInvalid").await;
    assert!(message.starts_with(&format!("{field}: ")) && message.lines().count() == 1, "{message}");
}

/// Also who depends on one that cannot be read, and who is of the same kind.
async fn the_others_go_on(cluster: &Cluster) {
    cluster.apply("SshMaster", "hg", moved()).await;
    let services = cluster.api::<Service>();
    cluster
        .until("the SshMaster is changed", async || {
            let ports = services.get("hg-ssh").await.unwrap().spec?.ports?;
            (ports[0].port == 2200).then_some(())
        })
        .await;
    cluster.apply("MirrorPool", "other", pool(2)).await;
    wait_for_mirrors(cluster, "other-mirror", 2).await;
    cluster.apply("HgRepository", "b", repository("b")).await;
    cluster.wait_for_reason("HgRepository", "b", "Ready", "MasterNotReady").await;
}

async fn wait_for_mirrors(cluster: &Cluster, set: &str, replicas: i32) {
    cluster
        .until("there are as many mirrors as are asked for", async || {
            let spec = cluster.api::<StatefulSet>().get(set).await.unwrap().spec?;
            (spec.replicas == Some(replicas)).then_some(())
        })
        .await;
}

/// While the SshMaster itself cannot be read.
async fn labels_follow_the_register(cluster: &Cluster) {
    let register = Patch::Merge(json!({"spec": {"holderIdentity": "hg-ssh-1"}}));
    cluster.api::<Lease>().patch("hg", &PatchParams::default(), &register).await.unwrap();
    cluster
        .until("the other pod is the master's", async || {
            (cluster.roles().await == [Some("standby".to_owned()), Some("master".to_owned())]).then_some(())
        })
        .await;
}

/// By an operator that has never read them.
async fn nothing_is_taken_for_deleted(cluster: &Cluster, operator: &Operator, before: &BTreeMap<String, Value>) {
    operator.wait_until_acting(LIMIT).await;
    cluster
        .until("it has looked at all", async || {
            let looked = |kind: &str, result: &str| {
                format!("hg_operator_reconciles_total{{kind=\"{kind}\",result=\"{result}\"}}")
            };
            operator.metric(&looked("SshMaster", "again")).await?;
            operator.metric(&looked("MirrorPool", "again")).await?;
            operator.metric(&looked("HgRepository", "again")).await?;
            operator.metric(&looked("HgRepository", "done")).await
        })
        .await;
    assert_eq!(objects(cluster).await, *before);
    for (kind, name, reason) in [
        ("SshMaster", "hg", "SpecInvalid"),
        ("MirrorPool", "web", "SpecInvalid"),
        ("HgRepository", "a", "SpecInvalid"),
        ("HgRepository", "b", "MasterNotReady"),
    ] {
        let (_, found, message) = cluster.condition(kind, name, "Ready").await.unwrap();
        assert_eq!(found, reason, "{kind} {name}: {message}");
    }
}
