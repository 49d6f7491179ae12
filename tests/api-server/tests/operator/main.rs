//! The operator on a real API server with a controller-manager and no node: what it makes, what it says, and that it
//! writes nothing when nothing has changed.

mod cluster;
mod faults;
mod imports;
mod lost;
mod namespaces;
mod pair;
mod rights;
mod rollback;
mod running;
mod stale;
mod unreadable;
mod watches;

use std::time::Duration;

use api_server::{ApiServer, Operator};
use cluster::{Cluster, LIMIT};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A Lease of fifteen seconds and a round of two, and what a busy machine adds.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test]
async fn resources_become_objects_and_an_unchanged_world_is_left_alone() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(server.client().await, "default");
    cluster.install().await;
    let operator = Operator::start(&server, "one", folder.path());
    operator.wait_until_acting(LIMIT).await;
    assert!(operator.is_ready().await);

    a_missing_secret_is_told_and_mended(&cluster).await;
    objects_are_made(&cluster).await;
    conflicts_are_told_and_disturb_nobody(&cluster).await;
    a_deletion_that_waits_can_be_given_up(&cluster).await;
    what_is_deleted_comes_back(&cluster).await;
    a_pool_scales(&cluster).await;
    what_people_write_is_watched(&cluster, &operator).await;
    let operator = a_new_operator_writes_nothing(&server, &cluster, operator, folder.path()).await;
    who_must_act_is_measured(&cluster, &operator).await;
}

fn master() -> Value {
    json!({
        "publicUrl": "http://localhost:8080",
        "sshHost": "localhost",
        "directory": {"authorizedKeys": {"secretRef": {"name": "developers"}}},
    })
}

fn repository(path: &str) -> Value {
    json!({"path": path, "masterRef": {"name": "hg"}})
}

async fn a_missing_secret_is_told_and_mended(cluster: &Cluster) {
    cluster.apply("SshMaster", "hg", master()).await;
    cluster.apply("MirrorPool", "web", json!({"masterRef": {"name": "hg"}})).await;
    let message = cluster.wait_for_reason("SshMaster", "hg", "Ready", "SecretMissing").await;
    assert_eq!(
        message,
        "spec.directory.authorizedKeys.secretRef.name: there is no Secret 'developers' in this namespace"
    );
    assert!(cluster.api::<StatefulSet>().get_opt("hg-ssh").await.unwrap().is_none());
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""},
    }))
    .unwrap();
    cluster.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    cluster.wait_for_reason("SshMaster", "hg", "DirectoryReachable", "SecretFound").await;
}

async fn objects_are_made(cluster: &Cluster) {
    let set: StatefulSet = cluster.wait_for("hg-ssh").await;
    assert_eq!(set.owner_references()[0].name, "hg");
    let register: Lease = cluster.wait_for("hg").await;
    assert_eq!(register.spec.unwrap().holder_identity.as_deref(), Some("hg-ssh-0"));
    let certificates: Secret = cluster.wait_for("hg-ssh-tls").await;
    let keys: Vec<String> = certificates.data.unwrap().into_keys().collect();
    let pods = ["hg-ssh-0-cert.pem", "hg-ssh-0-key.pem", "hg-ssh-1-cert.pem", "hg-ssh-1-key.pem"];
    assert_eq!(keys, [&["ca.pem"][..], &pods].concat());
    cluster.wait_for::<StatefulSet>("web-mirror").await;
    cluster.wait_for::<Service>("web-http").await;
    cluster.wait_for_roles().await;
    cluster.wait_for_reason("SshMaster", "hg", "Available", "NoMaster").await;
    cluster.wait_for_reason("MirrorPool", "web", "Available", "NoActiveMirror").await;
}

async fn conflicts_are_told_and_disturb_nobody(cluster: &Cluster) {
    cluster.apply("HgRepository", "first", repository("a/b")).await;
    cluster.wait_for_reason("HgRepository", "first", "Ready", "MasterNotReady").await;
    cluster.apply("HgRepository", "zweite", repository("a/b")).await;
    let message = cluster.wait_for_reason("HgRepository", "zweite", "Ready", "PathTaken").await;
    assert_eq!(message, "spec.path: 'a/b' is the path of HgRepository 'first' already: each has its own");
    cluster.delete("HgRepository", "zweite").await;
    cluster.apply("HgRepository", "lost", json!({"path": "lost", "masterRef": {"name": "nobody"}})).await;
    let message = cluster.wait_for_reason("HgRepository", "lost", "Ready", "MasterNotFound").await;
    assert_eq!(message, "spec.masterRef.name: there is no SshMaster 'nobody' in this namespace");

    let foreign: Service = serde_json::from_value(json!({
        "metadata": {"name": "other-http"}, "spec": {"ports": [{"port": 1}]},
    }))
    .unwrap();
    let services = cluster.api::<Service>();
    let version = services.create(&PostParams::default(), &foreign).await.unwrap().resource_version();
    cluster.apply("MirrorPool", "other", json!({"masterRef": {"name": "hg"}, "replicas": 0, "minActive": 0})).await;
    cluster.wait_for_reason("MirrorPool", "other", "Ready", "ForeignObject").await;
    assert_eq!(services.get("other-http").await.unwrap().resource_version(), version);
    services.delete("other-http", &DeleteParams::default()).await.unwrap();
    cluster.wait_for_reason("MirrorPool", "other", "Progressing", "Applied").await;
    cluster.delete("MirrorPool", "other").await;
    // By the garbage collector, in its own time.
    cluster
        .until("what it owned is gone with it", async || {
            let left = cluster.versions().await;
            (!left.keys().any(|object| object.contains(" other-"))).then_some(())
        })
        .await;
}

/// Gives a deletion up whose SshMaster has no node to run on, and may never have one.
async fn a_deletion_that_waits_can_be_given_up(cluster: &Cluster) {
    let held = json!({"path": "held", "masterRef": {"name": "hg"}, "deletionPolicy": "Delete"});
    cluster.apply("HgRepository", "held", held).await;
    cluster.wait_for_reason("HgRepository", "held", "Ready", "MasterNotReady").await;
    cluster.delete("HgRepository", "held").await;
    let message = cluster.wait_for_reason("HgRepository", "held", "Ready", "Deleting").await;
    let word = "hg-operator.dev/abandon-repository";
    assert!(message.contains("SshMaster 'hg' yet: no SSH instance answers as master"), "{message}");
    assert!(message.ends_with(&format!("kubectl annotate hgrepository held {word}=true")), "{message}");
    let patch = Patch::Merge(json!({"metadata": {"annotations": {word: "true"}}}));
    cluster.ours("HgRepository").patch("held", &PatchParams::default(), &patch).await.unwrap();
    cluster
        .until("the resource is gone", async || {
            cluster.ours("HgRepository").get_opt("held").await.unwrap().is_none().then_some(())
        })
        .await;
}

async fn what_is_deleted_comes_back(cluster: &Cluster) {
    let services = cluster.api::<Service>();
    let before = services.get("web-http").await.unwrap().uid();
    services.delete("web-http", &DeleteParams::default()).await.unwrap();
    cluster
        .until("the Service is there again", async || {
            services.get_opt("web-http").await.unwrap().filter(|found| found.uid() != before)
        })
        .await;
    let patch = kube::api::Patch::Merge(json!({"spec": {"sessionAffinity": "None"}}));
    services.patch("web-http", &Default::default(), &patch).await.unwrap();
    cluster
        .until("the Service is as it was", async || {
            let spec = services.get("web-http").await.unwrap().spec?;
            (spec.session_affinity.as_deref() == Some("ClientIP")).then_some(())
        })
        .await;
}

async fn a_pool_scales(cluster: &Cluster) {
    cluster.apply("MirrorPool", "web", json!({"masterRef": {"name": "hg"}, "replicas": 3})).await;
    let sets = cluster.api::<StatefulSet>();
    cluster
        .until("there are three mirrors", async || {
            let replicas = sets.get("web-mirror").await.unwrap().spec?.replicas;
            (replicas == Some(3)).then_some(())
        })
        .await;
    let certificates: Secret = cluster.wait_for("web-mirror-tls").await;
    assert!(certificates.data.unwrap().contains_key("web-mirror-2-cert.pem"));
}

/// Nothing else has a look meanwhile: it would be minutes until the next one.
async fn what_people_write_is_watched(cluster: &Cluster, operator: &Operator) {
    cluster.wait_until_settled(operator).await;
    let secrets = cluster.api::<Secret>();
    let set = async |data: Value| {
        let patch = kube::api::Patch::Merge(json!({"data": data}));
        secrets.patch("developers", &Default::default(), &patch).await.unwrap();
    };
    set(json!({"authorized_keys": null, "other": ""})).await;
    cluster.wait_for_reason("SshMaster", "hg", "DirectoryReachable", "SecretInvalid").await;
    set(json!({"authorized_keys": "", "other": null})).await;
    cluster.wait_for_reason("SshMaster", "hg", "DirectoryReachable", "SecretFound").await;
}

/// Also a second one stands by, ready, and takes over.
async fn a_new_operator_writes_nothing(
    server: &ApiServer,
    cluster: &Cluster,
    operator: Operator,
    folder: &std::path::Path,
) -> Operator {
    let second = Operator::start(server, "two", folder);
    cluster.until("the second operator is ready", async || second.is_ready().await.then_some(())).await;
    assert!(!second.acts().await);
    let quiet = cluster.wait_until_settled(&operator).await;
    drop(operator);
    second.wait_until_acting(TAKEN_OVER_WITHIN).await;
    cluster
        .until("everything was looked at", async || {
            let looked = |kind: &str, result: &str| {
                format!("hg_operator_reconciles_total{{kind=\"{kind}\",result=\"{result}\"}}")
            };
            second.metric(&looked("SshMaster", "again")).await?;
            second.metric(&looked("MirrorPool", "again")).await?;
            second.metric(&looked("HgRepository", "failed")).await
        })
        .await;
    let metrics = second.metrics().await;
    let writes: Vec<&str> = metrics.lines().filter(|line| line.starts_with("hg_operator_api_writes_total")).collect();
    assert!(writes.is_empty(), "an unchanged world was written to: {writes:#?}");
    assert_eq!(cluster.versions().await, quiet);
    second
}

async fn who_must_act_is_measured(cluster: &Cluster, operator: &Operator) {
    let measured = async |what: &str, blocked: Option<f64>, needs_human: Option<f64>| {
        let metric =
            async |name: &str| operator.metric(&format!("{name}{{master=\"hg\",namespace=\"default\"}}")).await;
        cluster
            .until_well(what, async || {
                let now =
                    (metric("hg_operator_promotion_blocked").await, metric("hg_operator_master_needs_human").await);
                if now == (blocked, needs_human) { Ok(()) } else { Err(format!("{now:?}")) }
            })
            .await;
    };
    measured("nobody must act", Some(0.0), Some(0.0)).await;
    let registers = cluster.api::<Lease>();
    let mut register = registers.get("hg").await.unwrap();
    registers.delete("hg", &DeleteParams::default()).await.unwrap();
    measured("the register is lost", Some(1.0), Some(1.0)).await;
    // Nobody runs here; with a disk in the register somebody has, and was master.
    register.metadata.resource_version = None;
    let disk = format!("hg-ssh-0={}", "0".repeat(32));
    register.annotations_mut().insert(register::DISKS.to_owned(), disk);
    registers.create(&PostParams::default(), &register).await.unwrap();
    measured("the master is gone, and nobody can take its place", Some(1.0), Some(0.0)).await;
    cluster.delete("SshMaster", "hg").await;
    measured("the SshMaster is gone", None, None).await;
}
