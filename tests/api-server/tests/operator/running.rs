//! With a master and a mirror that really run: what they change is told, and what the operator may do it does.

use std::path::{Path, PathBuf};
use std::process::Command;

use api_server::{ApiServer, Hosts, Instance, Node, Operator, Proxy, Snapshot};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use scenarios::{Client, Ready, ReadySsh, mercurials};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::cluster::{Cluster, LIMIT};
use crate::{imports, lost, pair, repository, rights};

const USER: &str = "developer@example.org";
pub const OWN_NAMESPACE: &str = "hg-operator";
/// One every two seconds: longer than anything that waits to be told of the last change.
const WINDOWS_AT_REST: usize = 2;
const RENEWALS_AT_REST: usize = 20;
const OURS: &str = "/apis/hg-operator.dev/";

pub struct Running {
    pub server: ApiServer,
    pub cluster: Cluster,
    pub proxy: Proxy,
    hosts: Hosts,
    folder: TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_that_runs_is_told_of_and_every_right_is_used() {
    let running = Running::start().await;
    let operator = running.operator(&running.proxy, "one").await;
    let (master, mirror) = running.instances().await;
    let client = running.client();
    a_push_is_told(&running, &client).await;
    imports::a_source_is_imported_once(&running.cluster, &client).await;
    imports::a_source_that_is_not_there_is_told(&running.cluster).await;
    a_repository_goes_there_and_back(&running.cluster, &client).await;
    a_fight_is_not_without_end(&running.cluster).await;
    an_old_list_deletes_no_repository(&running, &client, operator).await;
    let operator = running.operator(&running.proxy, "four").await;
    while_nothing_happens_nothing_is_written(&running, &operator).await;
    a_mirror_that_was_scaled_away_is_forgotten(&running, &client, mirror).await;
    let master = lost::a_register_is_made_again(&running, &client, master).await;
    pair::a_switchover_is_made_and_told(&running).await;
    rights::every_one_is_used(&running).await;
    rights::every_event_is_told(&running.proxy);
    drop((operator, master));
}

impl Running {
    /// The resources are there, and nobody acts.
    async fn start() -> Running {
        let server = ApiServer::start();
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::new(server.client().await, "code");
        for namespace in ["code", OWN_NAMESPACE] {
            let made: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
            Api::all(cluster.client.clone()).create(&PostParams::default(), &made).await.unwrap();
        }
        cluster.install().await;
        rights::grant(&cluster.client).await;
        let key = make_key(&folder.path().join("developer"));
        let users = json!({
            "metadata": {"name": "developers"}, "stringData": {"authorized_keys": format!("{key} {USER}\n")},
        });
        let users: Secret = serde_json::from_value(users).unwrap();
        cluster.api().create(&PostParams::default(), &users).await.unwrap();
        cluster.apply("SshMaster", "hg", master("http://localhost:8080")).await;
        cluster.apply("MirrorPool", "web", json!({"masterRef": {"name": "hg"}, "replicas": 1})).await;
        cluster.apply("HgRepository", "a", writable("a")).await;
        let pods = ["hg-ssh-0.hg-ssh-instances.code.svc", "web-mirror-0.web-mirror-instances.code.svc"];
        let pods: Vec<String> = pods.into_iter().chain(pair::PODS).map(ToOwned::to_owned).collect();
        let hosts = Hosts::new(folder.path(), &pods);
        let proxy = Proxy::start(server.client_as(rights::ACCOUNT).await, None).await;
        Running { server, cluster, proxy, hosts, folder }
    }

    async fn operator(&self, proxy: &Proxy, identity: &str) -> Operator {
        let kubeconfig = self.folder.path().join(format!("{identity}.json"));
        std::fs::write(&kubeconfig, proxy.kubeconfig()).unwrap();
        let arguments = ["--own-namespace", OWN_NAMESPACE];
        let operator = Operator::start_among(&self.hosts, &kubeconfig, identity, self.folder.path(), &arguments);
        operator.wait_until_acting(LIMIT).await;
        operator
    }

    /// Starts what the kubelet would start.
    async fn instances(&self) -> (Instance, Instance) {
        self.cluster.wait_for::<Pod>("hg-ssh-0").await;
        self.cluster.wait_for::<Pod>("web-mirror-0").await;
        (self.start_master().await, self.node().run("web-mirror", 0, &[]).await)
    }

    pub async fn start_master(&self) -> Instance {
        let volumes = [("host-keys", "hg-ssh-host-keys"), ("users", "developers")];
        self.node().run("hg-ssh", 0, &volumes).await
    }

    pub fn node(&self) -> Node<'_> {
        Node {
            client: self.cluster.client.clone(),
            namespace: "code",
            kubeconfig: self.server.kubeconfig(),
            hosts: &self.hosts,
            folder: self.folder.path(),
        }
    }

    fn client(&self) -> Client {
        let identity_file = self.folder.path().join("developer");
        let host = self.hosts.address("hg-ssh-0").to_owned();
        let ssh = ReadySsh { host, port: 2222, user: USER.to_owned(), identity_file };
        let http = format!("http://{}:8080", self.hosts.address("web-mirror-0"));
        let ready = Ready { ssh, http, mirrors: Vec::new(), status: String::new() };
        let mercurial = mercurials().pop().unwrap();
        Client::of(&ready, &mercurial, self.folder.path().join("client"))
    }
}

pub fn master(public_url: &str) -> Value {
    json!({
        "instances": 1,
        "publicUrl": public_url,
        "sshHost": "localhost",
        "directory": {
            "authorizedKeys": {"secretRef": {"name": "developers"}},
            "groups": [{"name": "developers", "members": ["*"]}],
        },
    })
}

pub fn writable(path: &str) -> Value {
    let mut repository = repository(path);
    repository["writeGroups"] = json!(["developers"]);
    repository["deletionPolicy"] = "Delete".into();
    repository
}

/// Answers its public half.
fn make_key(path: &Path) -> String {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path);
    assert!(command.status().unwrap().success());
    let public: PathBuf = path.with_extension("pub");
    let words: Vec<String> =
        std::fs::read_to_string(public).unwrap().split_whitespace().take(2).map(ToOwned::to_owned).collect();
    words.join(" ")
}

pub async fn push(client: &Client, path: &str, text: &str) -> String {
    let url = client.push_url(path);
    block_in_place(|| {
        if client.folder.join(path).exists() {
            client.commit(path, "file", text);
        } else {
            client.init(path);
        }
        client.hg(path, &["push", &url]).ok();
        client.tip(path)
    })
}

pub async fn status(cluster: &Cluster, kind: &str, name: &str) -> Value {
    cluster.ours(kind).get(name).await.unwrap().data["status"].clone()
}

async fn wait_for_push(cluster: &Cluster, name: &str, tip: &str, row: u64) -> Value {
    let what = format!("the push to {name} is told and published");
    let told = cluster.until(&what, async || {
        let status = status(cluster, "HgRepository", name).await;
        let published = status["mirrorsInSync"] == "1/1" && status["publishedOffset"].as_u64() >= Some(3);
        (status["tip"] == tip && status["lastPush"]["id"] == row && published).then_some(status)
    });
    told.await
}

async fn a_push_is_told(running: &Running, client: &Client) {
    let cluster = &running.cluster;
    cluster.wait_for_reason("HgRepository", "a", "Ready", "AllReady").await;
    assert!(status(cluster, "HgRepository", "a").await["lastPush"].is_null());
    cluster
        .until("readers are sent to the mirror", async || {
            let pod = cluster.api::<Pod>().get("web-mirror-0").await.unwrap();
            let conditions = pod.status?.conditions?;
            conditions.iter().any(|one| one.type_ == "hg-operator.dev/Active" && one.status == "True").then_some(())
        })
        .await;
    let tip = push(client, "a", "first").await;
    let told = wait_for_push(cluster, "a", &tip, 1).await;
    assert_eq!(told["lastPush"]["user"], USER);
    assert!(told["lastPush"]["at"].as_str().is_some_and(|at| at.starts_with("20")), "{told}");
    let before = cluster
        .until("the log is told", async || {
            let log = status(cluster, "SshMaster", "hg").await["log"].clone();
            (log["start"] == 1 && log["bytes"].as_u64() > Some(0) && log["head"].as_u64() >= Some(3)).then_some(log)
        })
        .await;
    cluster
        .until("the mirror is not late", async || {
            (status(cluster, "MirrorPool", "web").await["maxLagSeconds"] == 0).then_some(())
        })
        .await;
    let tip = push(client, "a", "second").await;
    wait_for_push(cluster, "a", &tip, 2).await;
    cluster
        .until("the log has grown", async || {
            let log = status(cluster, "SshMaster", "hg").await["log"].clone();
            (log["bytes"].as_u64() > before["bytes"].as_u64()).then_some(())
        })
        .await;
}

/// Settings of a repository are the master's, as the resource says; a private one leaves the mirrors and returns.
async fn a_repository_goes_there_and_back(cluster: &Cluster, client: &Client) {
    let (of_mirror, of_master) = (format!("{}/a", client.http), client.push_url("a"));
    let before = status(cluster, "HgRepository", "a").await;
    let reason = async |type_: &str, reason: &str| cluster.wait_for_reason("HgRepository", "a", type_, reason).await;
    for (change, type_, there, back) in [
        (json!({"readGroups": ["developers"]}), "Replicated", "PrivateRepository", "AllMirrorsShow"),
        (json!({"readOnly": {"reason": "moving"}, "description": "old"}), "ReadOnly", "ReadOnlyBySpec", "Writable"),
    ] {
        let mut spec = writable("a");
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        cluster.apply("HgRepository", "a", spec).await;
        reason(type_, there).await;
        let served = change["readGroups"].is_null();
        let reads = async || {
            let reads = block_in_place(|| client.remote_tip(&of_mirror));
            (reads.is_ok() == served).then_some(())
        };
        cluster.until(&format!("with {change} a mirror serves it: {served}"), reads).await;
        assert_eq!(block_in_place(|| client.remote_tip(&of_master)).as_ref(), Ok(&client.tip("a")));
        cluster.apply("HgRepository", "a", writable("a")).await;
        reason(type_, back).await;
        let what = format!("without {change} it is as it was");
        cluster
            .until_well(&what, async || {
                let object = cluster.ours("HgRepository").get("a").await.unwrap();
                let mut now = object.data["status"].clone();
                now["observedGeneration"] = before["observedGeneration"].clone();
                now["publishedOffset"] = before["publishedOffset"].clone();
                let strip = |status: &Value| {
                    let conditions = status["conditions"].as_array().unwrap().iter();
                    let each =
                        conditions.map(|one| [one["type"].clone(), one["status"].clone(), one["reason"].clone()]);
                    let mut rest = status.clone();
                    rest["conditions"] = json!(each.collect::<Vec<_>>());
                    rest
                };
                let same = strip(&now) == strip(&before) && object.finalizers().len() == 1;
                if same { Ok(()) } else { Err(format!("{now} is not {before}")) }
            })
            .await;
    }
    cluster
        .until("the mirror serves it again", async || {
            let found = block_in_place(|| client.remote_tip(&of_mirror));
            (found.as_ref() == Ok(&client.tip("a"))).then_some(())
        })
        .await;
}

/// A master, a mirror and their operator are at work, and nobody asks for anything: the Lease alone is renewed. How
/// long the log is, is told up to ten seconds late, hence one more window after that; writes that go on fail
/// all of them.
async fn while_nothing_happens_nothing_is_written(running: &Running, operator: &Operator) {
    let Running { cluster, proxy, .. } = running;
    cluster.wait_until_settled(operator).await;
    let mut found = String::new();
    for _window in 0..WINDOWS_AT_REST {
        let (writes, renewals) = (proxy.writes(), proxy.renewals());
        let versions = cluster.versions().await;
        let renewed = async || (proxy.renewals() >= renewals + RENEWALS_AT_REST).then_some(());
        cluster.until("the Lease is renewed many times", renewed).await;
        let changed: Vec<String> = cluster
            .versions()
            .await
            .into_iter()
            .filter_map(|(object, version)| (versions.get(&object) != Some(&version)).then_some(object))
            .collect();
        if proxy.writes() == writes && changed.is_empty() {
            return;
        }
        found = format!("{} writes, {changed:?} changed", proxy.writes() - writes);
    }
    panic!("an unchanged world was written to: {found}");
}

/// Somebody wants a field of ours otherwise, and is answered later each time.
async fn a_fight_is_not_without_end(cluster: &Cluster) {
    let services: Api<Service> = cluster.api();
    let set = async |affinity: &str| {
        let patch = Patch::Merge(json!({"spec": {"sessionAffinity": affinity}}));
        services.patch("web-http", &PatchParams::default(), &patch).await.unwrap();
    };
    let is_set = async || {
        let spec = services.get("web-http").await.unwrap().spec.unwrap();
        spec.session_affinity.as_deref() == Some("ClientIP")
    };
    let told = cluster.until("the fight is told", async || {
        if is_set().await {
            set("None").await;
        }
        let (_, reason, message) = cluster.condition("MirrorPool", "web", "Ready").await?;
        (reason == "Contested").then_some(message)
    });
    let expected = "Service 'web-http': somebody else changes .spec.sessionAffinity again and again";
    assert_eq!(told.await, format!("{expected}; it is set back later each time"));
    assert!(!is_set().await, "it was set back at once after all");
    cluster.until("it is set back when the other one has given in", async || is_set().await.then_some(())).await;
    cluster
        .until("peace is told", async || {
            let (_, reason, _) = cluster.condition("MirrorPool", "web", "Ready").await?;
            (reason != "Contested").then_some(())
        })
        .await;
}

/// Shows a resource that is being deleted, which is gone since; another one has its name and its path now.
async fn an_old_list_deletes_no_repository(running: &Running, client: &Client, operator: Operator) {
    let cluster = &running.cluster;
    cluster.apply("HgRepository", "b", writable("b")).await;
    cluster.wait_for_reason("HgRepository", "b", "Ready", "AllReady").await;
    drop(operator);
    cluster.delete("HgRepository", "b").await;
    let past = running.proxy.snapshot().await;
    let operator = running.operator(&running.proxy, "two").await;
    cluster
        .until("it is gone", async || cluster.ours("HgRepository").get_opt("b").await.unwrap().is_none().then_some(()))
        .await;
    cluster.apply("HgRepository", "b", writable("b")).await;
    cluster.wait_for_reason("HgRepository", "b", "Ready", "AllReady").await;
    let tip = push(client, "b", "first").await;
    wait_for_push(cluster, "b", &tip, 1).await;
    drop(operator);

    in_the_past(running, past.only(OURS)).await;
    let found = block_in_place(|| client.remote_tip(&client.push_url("b")));
    assert_eq!(found.as_ref(), Ok(&tip), "an old list has deleted the repository");
    assert_eq!(status(cluster, "HgRepository", "b").await["tip"], tip);
}

/// An operator that lives there for a while, and then sees the present.
async fn in_the_past(running: &Running, past: Snapshot) {
    let client = running.server.client_as(rights::ACCOUNT).await;
    let proxy = Proxy::start_in_the_past(client, past).await;
    let operator = running.operator(&proxy, "three").await;
    running
        .cluster
        .until("it has looked at what it believes", async || {
            let again = operator.metric("hg_operator_reconciles_total{kind=\"HgRepository\",result=\"again\"}").await;
            (again >= Some(1.0)).then_some(())
        })
        .await;
    proxy.return_to_the_present();
    running.cluster.wait_until_settled(&operator).await;
}

async fn a_mirror_that_was_scaled_away_is_forgotten(running: &Running, client: &Client, mirror: Instance) {
    let cluster = &running.cluster;
    let spec = json!({"masterRef": {"name": "hg"}, "replicas": 0, "minActive": 0});
    cluster.apply("MirrorPool", "web", spec).await;
    cluster
        .until("its pod is gone", async || {
            cluster.api::<Pod>().get_opt("web-mirror-0").await.unwrap().is_none().then_some(())
        })
        .await;
    drop(mirror);
    let published = async || status(cluster, "HgRepository", "a").await["publishedOffset"].as_u64();
    let before = published().await;
    let tip = push(client, "a", "without a mirror").await;
    cluster
        .until("nobody waits for it", async || {
            let now = status(cluster, "HgRepository", "a").await;
            (now["tip"] == tip && published().await > before && now["mirrorsInSync"] == "0/0").then_some(())
        })
        .await;
    assert_eq!(status(cluster, "SshMaster", "hg").await["mirrors"], "0/0");
}

/// The kubelet's word.
pub async fn make_ready(cluster: &Cluster, pod: &str) -> Option<String> {
    let pods: Api<Pod> = cluster.api();
    let found = pods.get(pod).await.unwrap();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status(pod, &PatchParams::default(), &Patch::Strategic(ready)).await.unwrap();
    found.uid()
}
