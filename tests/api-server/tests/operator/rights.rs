//! The operator has the rights of `charts/hg-operator/files/permissions.yaml`, all of them and no others.

use std::collections::BTreeSet;
use std::path::Path;

use api_server::{Proxy, Right};
use crds::events::EventReason;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::running::{OWN_NAMESPACE, Running, make_ready, master};

pub const ACCOUNT: &str = "system:serviceaccount:hg-operator:hg-operator";
const FILE: &str = "../../charts/hg-operator/files/permissions.yaml";
const ROLES: (&str, &str) = ("rbac.authorization.k8s.io", "v1");

/// As the chart says it, from the same list.
fn listed() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap().replace("LEASE", "hg-operator")).unwrap()
}

fn rules(scope: &str) -> Vec<Value> {
    listed()[scope].as_array().unwrap().clone()
}

pub async fn grant(client: &kube::Client) {
    let bare = |scope: &str| -> Vec<Value> {
        let mut rules = rules(scope);
        for rule in &mut rules {
            let rule = rule.as_object_mut().unwrap();
            rule.remove("why");
            rule.remove("unseen");
        }
        rules
    };
    let account = json!([{"kind": "ServiceAccount", "name": "hg-operator", "namespace": "hg-operator"}]);
    let reference = |kind: &str| json!({"apiGroup": ROLES.0, "kind": kind, "name": "hg-operator"});
    let objects = [
        (true, "ClusterRole", json!({"rules": bare("watched")})),
        (true, "ClusterRoleBinding", json!({"subjects": account, "roleRef": reference("ClusterRole")})),
        (false, "Role", json!({"rules": bare("own")})),
        (false, "RoleBinding", json!({"subjects": account, "roleRef": reference("Role")})),
    ];
    for (everywhere, kind, body) in objects {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(ROLES.0, ROLES.1, kind));
        let api: Api<DynamicObject> = match everywhere {
            true => Api::all_with(client.clone(), &resource),
            false => Api::namespaced_with(client.clone(), "hg-operator", &resource),
        };
        let object = DynamicObject::new("hg-operator", &resource).data(body);
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

pub async fn every_one_is_used(running: &Running) {
    let cluster = &running.cluster;
    what_nobody_asks_for_is_removed(cluster).await;
    what_comes_back_twice_is_told_twice(cluster).await;
    an_outdated_pod_is_replaced(cluster).await;
    a_volume_is_asked_to_grow(cluster).await;
    cluster.delete("HgRepository", "a").await;
    cluster
        .until("the repository is gone", async || {
            cluster.ours("HgRepository").get_opt("a").await.unwrap().is_none().then_some(())
        })
        .await;
    let refused = running.proxy.not_allowed();
    assert!(refused.is_empty(), "not granted: {refused:#?}");
    for (scope, namespace) in [("watched", cluster.namespace.as_str()), ("own", OWN_NAMESPACE)] {
        let used = running.proxy.used(namespace);
        let of = |unseen: bool| -> BTreeSet<Right> {
            rules(scope).iter().filter(|rule| (rule["unseen"] == true) == unseen).flat_map(rights).collect()
        };
        let idle: Vec<_> = of(false).difference(&used).cloned().collect();
        assert!(idle.is_empty(), "{scope}: granted and not used: {idle:#?}");
        let seen: Vec<_> = of(true).intersection(&used).cloned().collect();
        assert!(seen.is_empty(), "{scope}: used, though listed as unseen: {seen:#?}");
    }
}

/// The reasons of all that has happened here are those of the reference, and all but one of them.
pub fn every_event_is_told(proxy: &Proxy) {
    let told = proxy.events();
    let listed: BTreeSet<String> = EventReason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    let missing: Vec<&String> = listed.difference(&told).collect();
    // Nobody is promoted in vain here.
    assert_eq!(missing, ["PromotionWithdrawn"]);
    let unknown: Vec<&String> = told.difference(&listed).collect();
    assert!(unknown.is_empty(), "not in the reference: {unknown:?}");
}

fn rights(rule: &Value) -> Vec<Right> {
    let words = |part: &str| -> Vec<String> {
        rule[part].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let (groups, resources, verbs) = (words("apiGroups"), words("resources"), words("verbs"));
    let of_group = |group: String| {
        let resources = resources.clone();
        let verbs = &verbs;
        resources.into_iter().flat_map(move |resource| {
            let group = group.clone();
            verbs.iter().map(move |verb| (verb.clone(), group.clone(), resource.clone()))
        })
    };
    groups.into_iter().flat_map(of_group).collect()
}

/// As an older operator may have made it.
async fn what_nobody_asks_for_is_removed(cluster: &Cluster) {
    let owner = cluster.ours("SshMaster").get("hg").await.unwrap();
    let selector = json!({"matchLabels": {"a": "b"}});
    let template = json!({
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "example/none:1"}]},
    });
    let role = json!({"apiGroup": ROLES.0, "kind": "Role", "name": "old"});
    let objects = [
        ("apps", "v1", "StatefulSet", json!({"spec": {"replicas": 0, "selector": selector, "template": template}})),
        ("", "v1", "Service", json!({"spec": {"ports": [{"port": 1}]}})),
        ("", "v1", "ConfigMap", json!({})),
        ("", "v1", "Secret", json!({})),
        ("", "v1", "ServiceAccount", json!({})),
        ("policy", "v1", "PodDisruptionBudget", json!({"spec": {"maxUnavailable": 1, "selector": selector}})),
        ("networking.k8s.io", "v1", "NetworkPolicy", json!({"spec": {"podSelector": selector}})),
        (ROLES.0, ROLES.1, "Role", json!({"rules": []})),
        (ROLES.0, ROLES.1, "RoleBinding", json!({"subjects": [], "roleRef": role})),
    ];
    for (group, version, kind, body) in objects {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
        let mut object = DynamicObject::new("old", &resource).data(body);
        object.metadata.labels = serde_json::from_value(json!({
            "app.kubernetes.io/managed-by": "hg-operator",
            "app.kubernetes.io/component": "ssh",
            "app.kubernetes.io/instance": "hg",
        }))
        .unwrap();
        object.metadata.owner_references = serde_json::from_value(json!([{
            "apiVersion": "hg-operator.dev/v1alpha1",
            "kind": "SshMaster",
            "name": "hg",
            "uid": owner.uid(),
            "controller": true,
        }]))
        .unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
        let what = format!("{kind} 'old' is removed");
        cluster.until(&what, async || api.get_opt("old").await.unwrap().is_none().then_some(())).await;
    }
}

async fn what_comes_back_twice_is_told_twice(cluster: &Cluster) {
    let services: Api<Service> = cluster.api();
    for _ in 0..2 {
        let before = services.get("hg-ssh").await.unwrap().uid();
        services.delete("hg-ssh", &DeleteParams::default()).await.unwrap();
        cluster
            .until("the Service is there again", async || {
                services.get_opt("hg-ssh").await.unwrap().filter(|found| found.uid() != before)
            })
            .await;
    }
}

async fn an_outdated_pod_is_replaced(cluster: &Cluster) {
    let before = make_ready(cluster, "hg-ssh-0").await;
    cluster.apply("SshMaster", "hg", master("https://other.example.org")).await;
    cluster
        .until("the pod is replaced", async || {
            let pod = cluster.api::<Pod>().get_opt("hg-ssh-0").await.unwrap()?;
            (pod.uid() != before).then_some(())
        })
        .await;
}

/// Asks a volume to grow. It does not, for it is bound to nothing; that it was asked for is enough here.
async fn a_volume_is_asked_to_grow(cluster: &Cluster) {
    let mut larger = master("https://other.example.org");
    larger["storage"] = json!({"size": "60Gi"});
    cluster.apply("SshMaster", "hg", larger).await;
    let message = cluster.wait_for_reason("SshMaster", "hg", "Progressing", "SpecInvalid").await;
    assert!(message.contains("'data-hg-ssh-0' does not grow"), "{message}");
    let merge: Patch<Value> = Patch::Merge(json!({"metadata": {"annotations": {"looked": "at"}}}));
    cluster.ours("SshMaster").patch("hg", &PatchParams::default(), &merge).await.unwrap();
}
