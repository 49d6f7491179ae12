//! Crashes, lost answers and refusals at every single write: what is there afterwards is what is there without.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use api_server::{ApiServer, Fault, Operator, Proxy};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster::Cluster;
use crate::{master, repository};

/// Scenarios at the same time: most of each is waiting.
const AT_ONCE: usize = 4;
/// Writes come one after the other; a pause so long means that there are no more.
const NO_MORE_AFTER: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_fault_at_any_write_is_made_good() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    Cluster::new(server.client().await, "default").install().await;
    let stage = Stage { server: &server, folder: folder.path() };
    let (writes, expected) = stage.without_harm().await;
    assert!(writes > 30, "only {writes} writes");
    assert!(expected.len() > 20, "{expected:#?}");
    let each = futures::stream::iter(chosen(writes)).map(|(at, fault)| stage.with_harm(at, fault, &expected));
    let struck: Vec<bool> = each.buffer_unordered(AT_ONCE).collect().await;
    let missed = struck.iter().filter(|struck| !**struck).count();
    // Now and then one status tells what two did before.
    assert!(missed <= struck.len() / 10, "{missed} of {} writes were not struck", struck.len());
}

/// Every write with one of the faults, another one each day; with all of them in `make soak`.
fn chosen(writes: usize) -> Vec<(usize, Fault)> {
    const FAULTS: [Fault; 4] = [Fault::Silence, Fault::LostAnswer, Fault::Refused(500), Fault::Refused(409)];
    let today = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let seed = std::env::var("HGD_SOAK_SEED").map_or_else(|_| today(), |text| text.parse().unwrap());
    println!("HGD_SOAK_SEED={seed}");
    let all = std::env::var_os("HGD_SOAK_SECONDS").is_some();
    let first = usize::try_from(seed % FAULTS.len() as u64).unwrap();
    let of = |at: usize| {
        let one = FAULTS[(at + first) % FAULTS.len()];
        FAULTS.into_iter().filter(move |fault| all || *fault == one).map(move |fault| (at, fault))
    };
    (1..=writes).flat_map(of).collect()
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
        cluster.until("all is there", async || is_made(&cluster).await.then_some(())).await;
        cluster.wait_until_settled(&operator).await;
        let made = proxy.writes();
        change(&cluster).await;
        cluster.until("the change is made", async || is_changed(&cluster).await.then_some(())).await;
        cluster.wait_until_settled(&operator).await;
        assert!(proxy.writes() > made + 3, "the change takes {} writes", proxy.writes() - made);
        drop(operator);
        (proxy.writes(), cluster.end_state().await)
    }

    /// Strikes while all is made, or while it is changed; answers whether it did.
    async fn with_harm(&self, at: usize, fault: Fault, expected: &BTreeSet<String>) -> bool {
        let name = format!("{fault:?}-{at}").to_lowercase().replace(['(', ')'], "-");
        let cluster = self.furnish(&name).await;
        let proxy = Proxy::start(cluster.client.clone(), Some((at, fault))).await;
        let mut operator = self.operator(&proxy, &cluster, "first");
        let made_or_struck = async || (proxy.has_struck() || is_made(&cluster).await).then_some(());
        cluster.until(&format!("{name}: all is there, or struck"), made_or_struck).await;
        let was_silenced = fault == Fault::Silence && proxy.has_struck();
        if was_silenced {
            drop(operator);
            operator = self.well(&cluster).await;
        }
        cluster.until(&format!("{name}: all is there"), async || is_made(&cluster).await.then_some(())).await;
        change(&cluster).await;
        let struck = proxy.wait_until_struck(NO_MORE_AFTER).await;
        if fault == Fault::Silence && struck && !was_silenced {
            drop(operator);
            operator = self.well(&cluster).await;
        }
        self.compare(&cluster, &name, expected).await;
        drop(operator);
        struck
    }

    async fn well(&self, cluster: &Cluster) -> Operator {
        let proxy = Proxy::start(cluster.client.clone(), None).await;
        self.operator(&proxy, cluster, "second")
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
        let mut three = master();
        three["instances"] = 3.into();
        cluster.apply("SshMaster", "hg", three).await;
        cluster.apply("MirrorPool", "web", json!({"masterRef": {"name": "hg"}})).await;
        let mut deleted_with_it = repository("a");
        deleted_with_it["deletionPolicy"] = "Delete".into();
        cluster.apply("HgRepository", "a", deleted_with_it).await;
        // As its operator has left it: its SshMaster is gone.
        cluster.apply("HgRepository", "left", json!({"path": "left", "masterRef": {"name": "gone"}})).await;
        let finalizer = Patch::Merge(json!({"metadata": {"finalizers": ["hg-operator.dev/delete-repository"]}}));
        cluster.ours("HgRepository").patch("left", &PatchParams::default(), &finalizer).await.unwrap();
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

async fn is_made(cluster: &Cluster) -> bool {
    let roles = cluster.roles().await;
    let told = cluster.condition("MirrorPool", "web", "Available").await.is_some();
    told && roles == [Some("master".to_owned()), Some("standby".to_owned())]
}

/// Changes what people change: another port, an instance less, a repository less.
async fn change(cluster: &Cluster) {
    let mut other = master();
    other["service"] = json!({"port": 2200});
    cluster.apply("SshMaster", "hg", other).await;
    cluster.delete("HgRepository", "left").await;
}

async fn is_changed(cluster: &Cluster) -> bool {
    let (sets, services) = (cluster.api::<StatefulSet>(), cluster.api::<Service>());
    let replicas = sets.get("hg-ssh").await.unwrap().spec.and_then(|spec| spec.replicas);
    let ports = services.get("hg-ssh").await.unwrap().spec.and_then(|spec| spec.ports).unwrap_or_default();
    let left = cluster.ours("HgRepository").get_opt("left").await.unwrap();
    // No pod is ever ready here; all are of the new template.
    let progressing = cluster.condition("SshMaster", "hg", "Progressing").await;
    let is_rolled_out = progressing.is_some_and(|(_, reason, _)| reason == "InstancesNotReady");
    is_rolled_out && replicas == Some(2) && ports.iter().any(|port| port.port == 2200) && left.is_none()
}
