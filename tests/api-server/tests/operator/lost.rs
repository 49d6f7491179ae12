//! A register that somebody removes: it is made again from what the instance answers, and not without it.

use api_server::Instance;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use scenarios::Client;
use serde_json::json;

use crate::cluster::Cluster;
use crate::running::{Running, push};

/// Answers the instance, which was started again.
pub async fn a_register_is_made_again(running: &Running, client: &Client, master: Instance) -> Instance {
    let cluster = &running.cluster;
    let before = generation(cluster).await.unwrap();
    // It has lost its volume, for all that anybody knows.
    drop(master);
    cluster.api::<Lease>().delete("hg", &DeleteParams::default()).await.unwrap();
    let message = cluster.wait_for_reason("SshMaster", "hg", "Ready", "RegisterLost").await;
    let sentence = "the register is missing while volumes exist, and is made again as soon as every instance answers \
                    what it holds; silent: hg-ssh-0";
    assert!(message.starts_with(sentence), "{message}");
    assert_eq!(generation(cluster).await, None);
    a_lease_without_labels_is_told_and_left_alone(cluster, before).await;
    let master = running.start_master().await;
    cluster.until("it is made again", async || generation(cluster).await.filter(|now| *now > before).map(drop)).await;
    cluster.wait_for_reason("SshMaster", "hg", "LogWritable", "LogOpen").await;
    push(client, "a", "after the register was lost").await;
    master
}

/// As somebody would write it from a backup of its annotations.
async fn a_lease_without_labels_is_told_and_left_alone(cluster: &Cluster, generation: u64) {
    let annotations = json!({"hg-operator.dev/generation": generation.to_string()});
    let lease: Lease =
        serde_json::from_value(json!({"metadata": {"name": "hg", "annotations": annotations}})).unwrap();
    let made = cluster.api().create(&PostParams::default(), &lease).await.unwrap();
    let told = async || {
        let (_, reason, message) = cluster.condition("SshMaster", "hg", "Ready").await?;
        let labels = "label it app.kubernetes.io/component=ssh app.kubernetes.io/instance=hg";
        (reason == "RegisterLost" && message.contains(labels)).then_some(())
    };
    cluster.until("it is told that a Lease is in the register's place", told).await;
    let found = cluster.api::<Lease>().get("hg").await.unwrap();
    assert_eq!(found.resource_version(), made.resource_version());
    cluster.api::<Lease>().delete("hg", &DeleteParams::default()).await.unwrap();
}

async fn generation(cluster: &Cluster) -> Option<u64> {
    let lease = cluster.api::<Lease>().get_opt("hg").await.unwrap()?;
    lease.annotations()["hg-operator.dev/generation"].parse().ok()
}
