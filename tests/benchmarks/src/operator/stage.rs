//! The API server, the master, and a client that makes many repositories.

use std::time::{Duration, Instant};

use api_server::{ApiServer, Hosts, Instance, Node, Operator};
use crds::{HgRepository, SshMaster};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PATIENCE;

/// Namespace of everything here.
pub const NAMESPACE: &str = "ours";
/// Requests of the bare client under way.
const AT_ONCE: usize = 32;
const MASTER: &str = "hg-ssh-0.hg-ssh-instances.ours.svc";
const LEASE: &str = "hg-operator";

pub struct Stage {
    pub client: Client,
    server: ApiServer,
    hosts: Hosts,
    folder: TempDir,
}

impl Stage {
    pub async fn start() -> Stage {
        let server = ApiServer::start();
        let folder = tempfile::tempdir().unwrap();
        let client = server.client().await;
        let hosts = Hosts::new(folder.path(), &[MASTER.to_owned()]);
        let stage = Stage { client, server, hosts, folder };
        for definition in crds::definitions().unwrap() {
            let all: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
            all.create(&PostParams::default(), &definition).await.unwrap();
        }
        let made: Namespace = of(json!({"metadata": {"name": NAMESPACE}}));
        Api::all(stage.client.clone()).create(&PostParams::default(), &made).await.unwrap();
        let repositories: Api<HgRepository> = stage.api(NAMESPACE);
        wait_for(async || repositories.list(&ListParams::default()).await.ok()).await;
        let users: Secret = of(json!({"metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""}}));
        stage.api::<Secret>(NAMESPACE).create(&PostParams::default(), &users).await.unwrap();
        stage
            .apply(
                "SshMaster",
                "hg",
                json!({
                    "instances": 1,
                    "publicUrl": "http://localhost",
                    "sshHost": "localhost",
                    "directory": {"authorizedKeys": {"secretRef": {"name": "developers"}}},
                }),
            )
            .await;
        stage
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn apply(&self, kind: &str, name: &str, spec: Value) {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("hg-operator.dev", "v1alpha1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        api.patch(name, &PatchParams::apply("benchmark"), &Patch::Apply(&object)).await.unwrap();
    }

    /// Starts an operator of the namespace `NAMESPACE` only.
    pub async fn operator(&self) -> Operator {
        let arguments = ["--namespace", NAMESPACE, "--own-namespace", "default", "--lease-name", LEASE];
        let kubeconfig = self.server.kubeconfig();
        let operator = Operator::start_among(&self.hosts, kubeconfig, "bench", self.folder.path(), &arguments);
        operator.wait_until_acting(PATIENCE).await;
        operator
    }

    /// The last one was killed, and its Lease would run for a while.
    pub async fn release_lease(&self) {
        self.api::<Lease>("default").delete(LEASE, &DeleteParams::default()).await.unwrap();
    }

    /// Runs what the operator has made of the SshMaster.
    pub async fn master(&self) -> Instance {
        let maps = self.api::<ConfigMap>(NAMESPACE);
        wait_for(async || maps.get_opt("hg-ssh").await.unwrap()).await;
        let leases = self.api::<Lease>(NAMESPACE);
        wait_for(async || leases.get_opt("hg").await.unwrap()).await;
        let secrets = self.api::<Secret>(NAMESPACE);
        wait_for(async || secrets.get_opt("hg-ssh-tls").await.unwrap()).await;
        let pods = self.api::<Pod>(NAMESPACE);
        wait_for(async || pods.get_opt("hg-ssh-0").await.unwrap()).await;
        let node = Node {
            client: self.client.clone(),
            namespace: NAMESPACE,
            kubeconfig: self.server.kubeconfig(),
            hosts: &self.hosts,
            folder: self.folder.path(),
        };
        let master = node.run("hg-ssh", 0, &[("host-keys", "hg-ssh-host-keys"), ("users", "developers")]).await;
        wait_for(async || {
            let lease = leases.get("hg").await.unwrap();
            lease.annotations().get("hg-operator.dev/generation").filter(|generation| *generation != "0").cloned()
        })
        .await;
        master
    }

    /// As fast as one client can that asks for many things at once. `with_status`: each gets one, too, in a second
    /// write, which is the least that makes it Ready.
    pub async fn create(&self, count: usize, with_status: bool) -> Duration {
        let api: Api<HgRepository> = self.api(NAMESPACE);
        let begun = Instant::now();
        let create = async |number: usize| {
            api.create(&PostParams::default(), &repository(number)).await.unwrap();
            if with_status {
                api.patch_status(&name(number), &PatchParams::default(), &Patch::Merge(&status(number, 1)))
                    .await
                    .unwrap();
            }
        };
        futures::stream::iter(0..count).map(create).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        begun.elapsed()
    }

    /// The SshMaster's status, which is not written for every record, has the newest one of all.
    pub async fn is_told(&self) -> bool {
        let all = self.api::<HgRepository>(NAMESPACE).list(&ListParams::default()).await.unwrap();
        let newest = all.iter().filter_map(|one| one.status.as_ref()?.published_offset).max();
        let master = self.api::<SshMaster>(NAMESPACE).get("hg").await.unwrap();
        master.status.and_then(|status| Some(status.log?.head)) >= newest
    }

    /// How many say so of themselves.
    pub async fn ready(&self) -> usize {
        let all = self.api::<HgRepository>(NAMESPACE).list(&ListParams::default()).await.unwrap();
        let ready = all.iter().filter(|one| {
            let conditions = one.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
        });
        ready.count()
    }
}

pub fn name(number: usize) -> String {
    format!("repository-{number}")
}

fn repository(number: usize) -> HgRepository {
    of(json!({
        "apiVersion": "hg-operator.dev/v1alpha1",
        "kind": "HgRepository",
        "metadata": {"name": name(number)},
        "spec": {
            "path": format!("team-{}/repository-{number}", number % 100),
            "masterRef": {"name": "hg"},
            "description": "one of many",
            "writeGroups": ["developers"],
        },
    }))
}

/// As the operator's, about this generation.
pub fn status(number: usize, generation: i64) -> Value {
    let condition = |about: &str, reason: &str| {
        let at = "2026-01-01T00:00:00Z";
        json!({"type": about, "status": "True", "reason": reason, "message": "", "lastTransitionTime": at,
            "observedGeneration": generation})
    };
    let path = format!("team-{}/repository-{number}", number % 100);
    json!({
        "apiVersion": "hg-operator.dev/v1alpha1",
        "kind": "HgRepository",
        "metadata": {"name": name(number)},
        "status": {
            "observedGeneration": generation,
            "heads": 0,
            "changesets": 0,
            "publishedOffset": number,
            "mirrorsInSync": "0/0",
            "urls": {"ssh": format!("ssh://localhost/{path}"), "http": format!("http://localhost/{path}")},
            "conditions": [
                condition("Ready", "AllReady"),
                condition("Replicated", "NoMirrors"),
                condition("ReadOnly", "Writable"),
                condition("Quarantined", "NotQuarantined"),
                condition("Imported", "NoSource"),
            ],
        },
    })
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn wait_for<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
