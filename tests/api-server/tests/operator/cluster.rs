//! Cluster: what a test does with the API server, and what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use api_server::Operator;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Limit of what two cores that do other things too need.
pub const LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub struct Cluster {
    pub client: Client,
    pub namespace: String,
}

impl Cluster {
    pub fn new(client: Client, namespace: &str) -> Cluster {
        Cluster { client, namespace: namespace.to_owned() }
    }

    pub async fn install(&self) {
        for definition in crds::definitions().unwrap() {
            let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
            let name = definition.name_any();
            let parameters = PatchParams::apply("test").force();
            api.patch(&name, &parameters, &Patch::Apply(&definition)).await.unwrap();
        }
        self.until("the definitions are served", async || {
            let kinds = ["SshMaster", "MirrorPool", "HgRepository"];
            for kind in kinds {
                self.ours(kind).list(&ListParams::default()).await.ok()?;
            }
            Some(())
        })
        .await;
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn ours(&self, kind: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("hg-operator.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk(&kind);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub async fn apply(&self, kind: &str, name: &str, spec: Value) {
        let object = serde_json::json!({
            "apiVersion": "hg-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        let parameters = PatchParams::apply("test").force();
        self.ours(kind).patch(name, &parameters, &Patch::Apply(&object)).await.unwrap();
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        self.ours(kind).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Status, reason and message of one condition.
    pub async fn condition(&self, kind: &str, name: &str, type_: &str) -> Option<(String, String, String)> {
        let object = self.ours(kind).get_opt(name).await.unwrap()?;
        let conditions = object.data["status"]["conditions"].as_array()?.clone();
        let found = conditions.iter().find(|one| one["type"] == type_)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }

    pub async fn wait_for_reason(&self, kind: &str, name: &str, type_: &str, reason: &str) -> String {
        let what = format!("{kind} {name} has {type_} for {reason}");
        let found = self.until(&what, async || {
            let (_, found, message) = self.condition(kind, name, type_).await?;
            (found == reason).then_some(message)
        });
        found.await
    }

    pub async fn wait_for<K>(&self, name: &str) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let what = format!("{} {name} is there", K::kind(&()));
        self.until(&what, async || self.api::<K>().get_opt(name).await.unwrap()).await
    }

    pub async fn wait_for_roles(&self) {
        self.until("the master's pod has its label, and the standby's its own", async || {
            let roles = self.roles().await;
            (roles == [Some("master".to_owned()), Some("standby".to_owned())]).then_some(())
        })
        .await;
    }

    /// As the labels of both SSH pods say.
    pub async fn roles(&self) -> [Option<String>; 2] {
        let role = async |name: &str| {
            let pod = self.api::<Pod>().get_opt(name).await.unwrap()?;
            pod.labels().get("hg-operator.dev/role").cloned()
        };
        [role("hg-ssh-0").await, role("hg-ssh-1").await]
    }

    /// Looks again and again for a level.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        self.until_well(what, async || look().await.ok_or_else(|| "it is not".to_owned())).await
    }

    /// The same, where a look says what is amiss.
    pub async fn until_well<T>(&self, what: &str, look: impl AsyncFn() -> Result<T, String>) -> T {
        self.until_within(LIMIT, what, look).await
    }

    pub async fn until_within<T>(&self, limit: Duration, what: &str, look: impl AsyncFn() -> Result<T, String>) -> T {
        let start = Instant::now();
        loop {
            let amiss = match look().await {
                Ok(found) => return found,
                Err(amiss) => amiss,
            };
            assert!(start.elapsed() < limit, "not within {limit:?}: {what}: {amiss}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The versions of everything that the operator may write.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        for kind in ["SshMaster", "MirrorPool", "HgRepository"] {
            let all = self.ours(kind).list(&ListParams::default()).await.unwrap();
            versions.extend(all.iter().map(|one| (format!("{kind} {}", one.name_any()), version(one))));
        }
        self.add::<StatefulSet>(&mut versions).await;
        self.add::<Service>(&mut versions).await;
        self.add::<ConfigMap>(&mut versions).await;
        self.add::<Secret>(&mut versions).await;
        self.add::<PodDisruptionBudget>(&mut versions).await;
        self.add::<NetworkPolicy>(&mut versions).await;
        self.add::<ServiceAccount>(&mut versions).await;
        self.add::<Role>(&mut versions).await;
        self.add::<RoleBinding>(&mut versions).await;
        self.add::<PersistentVolumeClaim>(&mut versions).await;
        self.add::<Lease>(&mut versions).await;
        versions.retain(|name, _| name != "Lease hg-operator" && !name.starts_with("Lease election-"));
        versions
    }

    /// Waits until this operator has heard of everything that there is, and has nothing to do, while nothing changes.
    pub async fn wait_until_settled(&self, operator: &Operator) -> BTreeMap<String, String> {
        self.until("the operator has nothing to do", async || self.settled(operator).await).await
    }

    async fn settled(&self, operator: &Operator) -> Option<BTreeMap<String, String>> {
        let (before, newest) = (self.versions().await, self.newest_versions().await);
        let metrics = operator.metrics().await;
        let value = |name: &str| {
            let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            found.and_then(|value| value.parse::<u64>().ok())
        };
        let has_heard = |(kind, version): (&String, &u64)| {
            value(&format!("hg_operator_watch_newest_version{{kind=\"{kind}\"}}")).unwrap_or(0) >= *version
        };
        let rests =
            ["queue_depth", "workers_busy"].iter().all(|name| value(&format!("hg_operator_{name}")) == Some(0));
        let is_settled = rests && newest.iter().all(has_heard) && self.versions().await == before;
        is_settled.then_some(before)
    }

    /// By kind, of what the operator watches. A watch tells them in their order.
    async fn newest_versions(&self) -> BTreeMap<String, u64> {
        let mut newest = BTreeMap::new();
        for kind in ["SshMaster", "MirrorPool", "HgRepository"] {
            let all = self.ours(kind).list(&ListParams::default()).await.unwrap();
            newest.insert(kind.to_owned(), highest(&all.items));
        }
        self.note_newest::<StatefulSet>(&mut newest).await;
        self.note_newest::<Pod>(&mut newest).await;
        self.note_newest::<PersistentVolumeClaim>(&mut newest).await;
        self.note_newest::<Service>(&mut newest).await;
        self.note_newest::<EndpointSlice>(&mut newest).await;
        self.note_newest::<ConfigMap>(&mut newest).await;
        self.note_newest::<Secret>(&mut newest).await;
        self.note_newest::<PodDisruptionBudget>(&mut newest).await;
        self.note_newest::<NetworkPolicy>(&mut newest).await;
        self.note_newest::<ServiceAccount>(&mut newest).await;
        self.note_newest::<Role>(&mut newest).await;
        self.note_newest::<RoleBinding>(&mut newest).await;
        self.note_newest::<Lease>(&mut newest).await;
        newest
    }

    async fn note_newest<K>(&self, newest: &mut BTreeMap<String, u64>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=hg-operator");
        let all = self.api::<K>().list(&ours).await.unwrap();
        newest.insert(K::kind(&()).into_owned(), highest(&all.items));
    }

    /// Lists what there is, without what is different each time; with what the resources say.
    pub async fn end_state(&self) -> BTreeSet<String> {
        let mut state: BTreeSet<String> = self.versions().await.into_keys().collect();
        for secret in self.api::<Secret>().list(&ListParams::default()).await.unwrap() {
            let keys: Vec<String> = secret.data.clone().unwrap_or_default().into_keys().collect();
            state.insert(format!("Secret {}: {}", secret.name_any(), keys.join(" ")));
        }
        for set in self.api::<StatefulSet>().list(&ListParams::default()).await.unwrap() {
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
            state.insert(format!("StatefulSet {}: {replicas:?}", set.name_any()));
        }
        for service in self.api::<Service>().list(&ListParams::default()).await.unwrap() {
            let ports = service.spec.as_ref().and_then(|spec| spec.ports.clone()).unwrap_or_default();
            let ports: Vec<i32> = ports.into_iter().map(|port| port.port).collect();
            state.insert(format!("Service {}: {ports:?}", service.name_any()));
        }
        for (kind, name) in [("SshMaster", "hg"), ("MirrorPool", "web"), ("HgRepository", "a")] {
            let object = self.ours(kind).get(name).await.unwrap();
            let finalizers = object.finalizers().join(" ");
            for condition in object.data["status"]["conditions"].as_array().into_iter().flatten() {
                let (type_, reason) = (&condition["type"], &condition["reason"]);
                state.insert(format!("{kind} {name} [{finalizers}]: {type_} {reason}"));
            }
        }
        state
    }

    async fn add<K>(&self, versions: &mut BTreeMap<String, String>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let all = self.api::<K>().list(&ListParams::default()).await.unwrap();
        versions.extend(all.iter().map(|one| (format!("{} {}", K::kind(&()), one.name_any()), version(one))));
    }
}

fn highest<K: ResourceExt>(objects: &[K]) -> u64 {
    objects.iter().map(|object| version(object).parse().unwrap_or(0)).max().unwrap_or(0)
}

fn version(object: &impl ResourceExt) -> String {
    object.resource_version().unwrap_or_default()
}
