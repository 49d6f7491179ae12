//! Crashes, lost answers and refusals at every single write: what is there afterwards is what is there without.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use api_server::{ApiServer, Fault, Operator, Proxy};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::cluster::Cluster;
use crate::{master, repository};

/// Scenarios at the same time: most of each is waiting.
const AT_ONCE: usize = 4;
/// Writes come one after the other; a pause so long means that there are no more.
const NO_MORE_AFTER: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_fault_at_any_write_is_made_good() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    Cluster::new(server.client().await, "default").install().await;
    let stage = Stage { server: &server, folder: folder.path() };
    let (writes, expected) = stage.without_harm().await;
    assert!(writes > 20, "only {writes} writes");
    assert!(expected.len() > 20, "{expected:#?}");
    for fault in [Fault::Silence, Fault::LostAnswer, Fault::Refused(500), Fault::Refused(409)] {
        let each = futures::stream::iter(1..=writes).map(|at| stage.with_harm(at, fault, &expected));
        each.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
}

struct Stage<'a> {
    server: &'a ApiServer,
    folder: &'a Path,
}

impl Stage<'_> {
    async fn without_harm(&self) -> (usize, BTreeSet<String>) {
        let cluster = self.furnish("no-harm").await;
        let proxy = Proxy::start(cluster.client.clone(), None).await;
        let operator = self.operator(&proxy, &cluster, "first");
        cluster.until("all is there", async || cluster.condition("MirrorPool", "web", "Available").await).await;
        cluster.wait_for_roles().await;
        cluster.wait_until_settled(&operator).await;
        drop(operator);
        (proxy.writes(), cluster.end_state().await)
    }

    async fn with_harm(&self, at: usize, fault: Fault, expected: &BTreeSet<String>) {
        let name = format!("{fault:?}-{at}").to_lowercase().replace(['(', ')'], "-");
        let cluster = self.furnish(&name).await;
        let proxy = Proxy::start(cluster.client.clone(), Some((at, fault))).await;
        let mut operator = self.operator(&proxy, &cluster, "first");
        let struck = proxy.wait_until_struck(NO_MORE_AFTER).await;
        if fault == Fault::Silence && struck {
            drop(operator);
            let well = Proxy::start(cluster.client.clone(), None).await;
            operator = self.operator(&well, &cluster, "second");
            self.compare(&cluster, &name, expected).await;
        } else {
            self.compare(&cluster, &name, expected).await;
        }
        drop(operator);
    }

    async fn compare(&self, cluster: &Cluster, name: &str, expected: &BTreeSet<String>) {
        let what = format!("{name}: all is as it is without harm");
        cluster
            .until_well(&what, async || {
                let found = cluster.end_state().await;
                let missing: Vec<&String> = expected.difference(&found).collect();
                let more: Vec<&String> = found.difference(expected).collect();
                if missing.is_empty() && more.is_empty() {
                    Ok(())
                } else {
                    Err(format!("without {missing:?}, with {more:?}"))
                }
            })
            .await;
    }

    /// A namespace with what people write.
    async fn furnish(&self, namespace: &str) -> Cluster {
        let client = self.server.client().await;
        let made: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &made).await.unwrap();
        let cluster = Cluster::new(client, namespace);
        let users = json!({"metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""}});
        let users: Secret = serde_json::from_value(users).unwrap();
        cluster.api().create(&PostParams::default(), &users).await.unwrap();
        cluster.apply("SshMaster", "hg", master()).await;
        cluster.apply("MirrorPool", "web", json!({"masterRef": {"name": "hg"}})).await;
        let mut deleted_with_it = repository("a");
        deleted_with_it["deletionPolicy"] = "Delete".into();
        cluster.apply("HgRepository", "a", deleted_with_it).await;
        cluster
    }

    /// Each has an election of its own: the first one's Lease need not run out.
    fn operator(&self, proxy: &Proxy, cluster: &Cluster, identity: &str) -> Operator {
        let kubeconfig = self.folder.join(format!("{}-{identity}.json", cluster.namespace));
        std::fs::write(&kubeconfig, proxy.kubeconfig()).unwrap();
        let namespace = cluster.namespace.as_str();
        let lease = format!("election-{identity}");
        let arguments = ["--namespace", namespace, "--own-namespace", namespace, "--lease-name", &lease];
        Operator::start_with(&kubeconfig, identity, self.folder, &arguments)
    }
}
