//! Two instances with one volume, and a switchover between them: what a single instance never makes the operator do.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cluster::Cluster;
use crate::running::{Running, make_ready, master, status};

pub const PODS: [&str; 2] = ["pair-ssh-0.pair-ssh-instances.code.svc", "pair-ssh-1.pair-ssh-instances.code.svc"];

pub async fn a_switchover_is_made_and_told(running: &Running) {
    let cluster = &running.cluster;
    let mut spec = master("http://localhost:8081");
    spec["instances"] = 2.into();
    spec["storage"] = json!({"mode": "Shared"});
    cluster.apply("SshMaster", "pair", spec).await;
    cluster.wait_for::<PersistentVolumeClaim>("data-pair-ssh").await;
    let node = running.node();
    let volumes = [("host-keys", "pair-ssh-host-keys"), ("users", "developers")];
    for pod in ["pair-ssh-0", "pair-ssh-1"] {
        cluster.wait_for::<Pod>(pod).await;
        make_ready(cluster, pod).await;
    }
    let _first = node.run("pair-ssh", 0, &volumes).await;
    let _second = node.run("pair-ssh", 1, &volumes).await;
    cluster.wait_for_reason("SshMaster", "pair", "LogWritable", "LogOpen").await;
    cluster.wait_for_reason("SshMaster", "pair", "Ready", "AllReady").await;
    assert_eq!(status(cluster, "SshMaster", "pair").await["master"], "pair-ssh-0");

    ask_for(cluster, "pair-ssh-7").await;
    let message = cluster.wait_for_reason("SshMaster", "pair", "PromotionReady", "PromotionBlocked").await;
    assert!(message.starts_with("pair-ssh-7 cannot be made master"), "{message}");
    ask_for(cluster, "pair-ssh-1").await;
    // It begins again rather than write another byte, and says that it has let go.
    let told = cluster
        .until("the promotion is told", async || {
            let status = status(cluster, "SshMaster", "pair").await;
            (status["lastPromotion"]["to"] == "pair-ssh-1").then_some(status)
        })
        .await;
    assert_eq!(told["master"], "pair-ssh-1");
    assert_eq!(told["lastPromotion"]["from"], "pair-ssh-0");
    assert_eq!(told["lastPromotion"]["reason"], "a switchover was asked for");
    let register: Lease = cluster.wait_for("pair").await;
    assert_eq!(register.spec.unwrap().holder_identity.as_deref(), Some("pair-ssh-1"));
    cluster.wait_for_reason("SshMaster", "pair", "Available", "MasterAccepts").await;
}

/// As `kubectl hg promote` does.
async fn ask_for(cluster: &Cluster, instance: &str) {
    let register: Lease = cluster.wait_for("pair").await;
    let generation = &register.annotations()["hg-operator.dev/generation"];
    let word = format!("{instance}@{generation}");
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"hg-operator.dev/promote": word}}}));
    cluster.ours("SshMaster").patch("pair", &PatchParams::default(), &patch).await.unwrap();
}
