//! Time travel: an operator starts against an API server whose cache is older than what its predecessor saw.

use std::collections::BTreeMap;
use std::path::Path;

use api_server::{ApiServer, Operator, Proxy};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT};
use crate::master;

/// Each kind has a cache of its own in the API server, so that only these may be old, too.
const OURS: &str = "/apis/hg-operator.dev/";
const REGISTERS: &str = "/apis/coordination.k8s.io/";

#[tokio::test]
async fn an_operator_that_starts_in_the_past_undoes_nothing() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(server.client().await, "default");
    cluster.install().await;
    let users = json!({"metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""}});
    let users: Secret = serde_json::from_value(users).unwrap();
    cluster.api().create(&PostParams::default(), &users).await.unwrap();
    cluster.apply("SshMaster", "hg", master()).await;
    cluster.apply("MirrorPool", "web", pool(3)).await;
    cluster.apply("MirrorPool", "short", pool(1)).await;
    let proxy = Proxy::start(server.client().await, None).await;
    let first = operator(&proxy, folder.path(), "first");
    cluster.wait_for_roles().await;
    cluster.wait_for::<StatefulSet>("short-mirror").await;
    cluster.wait_for::<StatefulSet>("web-mirror").await;
    cluster.wait_until_settled(&first).await;
    let past = proxy.snapshot().await;
    the_world_goes_on(&cluster).await;
    let mut quiet = cluster.wait_until_settled(&first).await;
    drop(first);
    let told = told(&cluster).await;

    let pasts = [("all", past.clone()), ("ours", past.only(OURS)), ("registers", past.only(REGISTERS))];
    for (name, past) in pasts {
        let proxy = Proxy::start_in_the_past(server.client().await, past).await;
        let second = operator(&proxy, folder.path(), name);
        second.wait_until_acting(LIMIT).await;
        cluster.until("it has looked at what it believes", async || has_looked(&second).await.then_some(())).await;
        assert_eq!(cluster.versions().await, quiet, "{name}: something was undone");
        assert_eq!(roles(&cluster).await, ["standby", "master"], "{name}");
        proxy.return_to_the_present();
        let settled = cluster.wait_until_settled(&second).await;
        assert_eq!(but_ours(&settled), but_ours(&quiet), "{name}: something was written late");
        // While one watch has heard what another has not, a status may tell of a moment in between.
        assert_eq!(self::told(&cluster).await, told, "{name}: something else is told");
        quiet = settled;
    }
}

const TOLD: [(&str, &str); 2] = [("SshMaster", "hg"), ("MirrorPool", "web")];

/// Lists what people ask for and what the operator tells of it, whenever that was written.
async fn told(cluster: &Cluster) -> Vec<Value> {
    let mut told = Vec::new();
    for (kind, name) in TOLD {
        let object = cluster.ours(kind).get(name).await.unwrap();
        let mut data = object.data;
        for condition in data["status"]["conditions"].as_array_mut().unwrap() {
            condition.as_object_mut().unwrap().remove("lastTransitionTime");
        }
        told.push(data);
    }
    told
}

fn but_ours(versions: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = TOLD.map(|(kind, name)| format!("{kind} {name}"));
    versions.iter().filter(|(object, _)| !ours.contains(object)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn pool(replicas: u32) -> Value {
    json!({"masterRef": {"name": "hg"}, "replicas": replicas})
}

fn operator(proxy: &Proxy, folder: &Path, identity: &str) -> Operator {
    let kubeconfig = folder.join(format!("{identity}.json"));
    std::fs::write(&kubeconfig, proxy.kubeconfig()).unwrap();
    let lease = format!("election-{identity}");
    let arguments = ["--namespace", "default", "--own-namespace", "default", "--lease-name", &lease];
    Operator::start_with(&kubeconfig, identity, folder, &arguments)
}

/// Another instance is master, a setting changes, a pool goes, and another one is made again under its name, smaller
/// than before.
async fn the_world_goes_on(cluster: &Cluster) {
    let register = Patch::Merge(json!({"spec": {"holderIdentity": "hg-ssh-1"}}));
    cluster.api::<Lease>().patch("hg", &PatchParams::default(), &register).await.unwrap();
    cluster
        .until("the other pod is the master's", async || {
            let pod = cluster.api::<Pod>().get("hg-ssh-1").await.unwrap();
            (pod.labels().get("hg-operator.dev/role")? == "master").then_some(())
        })
        .await;
    let mut other = master();
    other["service"] = json!({"port": 2200});
    cluster.apply("SshMaster", "hg", other).await;
    let sets = cluster.api::<StatefulSet>();
    let before = sets.get("web-mirror").await.unwrap().uid();
    cluster.delete("MirrorPool", "web").await;
    cluster.delete("MirrorPool", "short").await;
    cluster
        .until("nothing is left of the pools", async || {
            let left = [sets.get_opt("web-mirror").await.unwrap(), sets.get_opt("short-mirror").await.unwrap()];
            left.iter().all(Option::is_none).then_some(())
        })
        .await;
    cluster.apply("MirrorPool", "web", pool(1)).await;
    let again: StatefulSet = cluster.wait_for("web-mirror").await;
    assert_ne!(again.uid(), before);
    cluster
        .until("its pods are made", async || {
            let status = sets.get("web-mirror").await.unwrap().status?;
            (status.replicas == 1).then_some(())
        })
        .await;
}

async fn roles(cluster: &Cluster) -> [String; 2] {
    let role = async |pod: &str| cluster.api::<Pod>().get(pod).await.unwrap().labels()["hg-operator.dev/role"].clone();
    [role("hg-ssh-0").await, role("hg-ssh-1").await]
}

/// At least once at each; masters come first.
async fn has_looked(operator: &Operator) -> bool {
    let metrics = operator.metrics().await;
    let total = |kind: &str| -> f64 {
        let ours = format!("hg_operator_reconciles_total{{kind=\"{kind}\"");
        let values = metrics.lines().filter(|line| line.starts_with(&ours)).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<f64>().ok()).sum()
    };
    let rests = operator.metric("hg_operator_workers_busy").await == Some(0.0);
    rests && total("SshMaster") >= 1.0 && total("MirrorPool") >= 1.0
}
