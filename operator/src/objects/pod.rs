//! The pods of one workload: locked down, probed, drained.

use std::collections::BTreeMap;

use crds::{Pods, Storage, StorageMode};
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use crate::apply::Wanted;
use crate::names::{
    ACTIVE_GATE, ADMIN_PORT, CONFIG_FOLDER, CONFIG_HASH, CONTAINER, Component, DATA_FOLDER, HTTP_PORT, PROBE_PORT,
    SSH_PORT, TLS_FOLDER, Workload, selector,
};

/// User and group of the image.
const USER: u32 = 65532;
/// Readers' connections are sent elsewhere before the process is asked to stop.
const MIRROR_LEAVES_SECONDS: u32 = 5;
/// Pushes and clones under way may end.
const GRACE_SECONDS: u32 = 60;

/// Template: what makes one workload's pods differ from another's.
pub struct Template<'a> {
    pub workload: Workload<'a>,
    pub knobs: Pods<'a>,
    /// Where the resource names none.
    pub image: String,
    /// Hash of what a pod reads only when it starts: another one replaces the pods.
    pub config_hash: &'a str,
    /// Secrets to mount, each with its folder.
    pub secrets: &'a [(String, &'static str)],
    pub replicas: u32,
    pub data: Volumes,
}

/// Where pods have their data.
pub enum Volumes {
    /// A claim for each, made by the StatefulSet.
    Each(Storage),
    /// One claim for all, by its name.
    Shared(String),
}

/// The image of pods whose resource names none: what they have, so that another operator replaces none of them; `own`
/// when there are none yet.
pub fn image(found: Option<&StatefulSet>, own: &str) -> String {
    let containers = found.and_then(|set| set.spec.as_ref()?.template.spec.as_ref());
    let image = containers.and_then(|spec| spec.containers.first()?.image.clone());
    image.unwrap_or_else(|| own.to_owned())
}

pub fn stateful_set(template: &Template<'_>) -> Wanted<StatefulSet> {
    let workload = template.workload;
    let selector = selector(workload.component, workload.name);
    let strategy = match workload.component {
        // The operator restarts them itself, the master last.
        Component::Ssh => json!({"type": "OnDelete"}),
        Component::Mirror => json!({"type": "RollingUpdate"}),
    };
    let mut spec = json!({"spec": {
        "replicas": template.replicas,
        "serviceName": workload.headless(),
        "podManagementPolicy": "Parallel",
        "updateStrategy": strategy,
        "selector": {"matchLabels": selector},
        "template": pod(template, &selector),
    }});
    if let Volumes::Each(storage) = &template.data {
        spec["spec"]["volumeClaimTemplates"] = json!([claim(storage, &selector)]);
    }
    Wanted::new(workload.object(), selector, spec)
}

fn claim(storage: &Storage, labels: &Value) -> Value {
    let spec = claim_spec(storage);
    let metadata = json!({"name": "data", "labels": labels});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
}

pub fn claim_spec(storage: &Storage) -> Value {
    let mode = match storage.mode {
        StorageMode::PerInstance => "ReadWriteOnce",
        StorageMode::Shared => "ReadWriteMany",
    };
    let mut spec = json!({
        "accessModes": [mode],
        "resources": {"requests": {"storage": storage.size}},
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = class.clone().into();
    }
    spec
}

fn pod(template: &Template<'_>, labels: &Value) -> Value {
    let (workload, knobs) = (template.workload, &template.knobs);
    let mut annotations: BTreeMap<&str, &str> =
        knobs.pod_annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    annotations.insert(CONFIG_HASH, template.config_hash);
    let mut volumes = vec![
        json!({"name": "config", "configMap": {"name": workload.object()}}),
        json!({"name": "tmp", "emptyDir": {}}),
    ];
    volumes.extend(template.secrets.iter().map(
        |(secret, folder)| json!({"name": volume(folder), "secret": {"secretName": secret, "defaultMode": 0o440}}),
    ));
    if let Volumes::Shared(claim) = &template.data {
        volumes.push(json!({"name": "data", "persistentVolumeClaim": {"claimName": claim}}));
    }
    let mut spec = json!({
        "automountServiceAccountToken": workload.component == Component::Ssh,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": knobs.affinity.map_or_else(|| apart(labels), |affinity| json!(affinity)),
        "containers": [container(template)],
        "volumes": volumes,
    });
    match workload.component {
        Component::Ssh => spec["serviceAccountName"] = workload.object().into(),
        Component::Mirror => spec["readinessGates"] = json!([{"conditionType": ACTIVE_GATE}]),
    }
    let lists = [
        ("nodeSelector", json!(knobs.node_selector)),
        ("tolerations", json!(knobs.tolerations)),
        ("topologySpreadConstraints", json!(knobs.topology_spread_constraints)),
        ("imagePullSecrets", json!(knobs.image_pull_secrets)),
    ];
    for (name, value) in lists {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(|map| map.is_empty());
        if !empty {
            spec[name] = value;
        }
    }
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
}

/// Each on its own node, where there are enough.
fn apart(labels: &Value) -> Value {
    json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}},
    }]}})
}

fn container(template: &Template<'_>) -> Value {
    let workload = template.workload;
    let role = workload.component.as_str();
    let own = match workload.component {
        Component::Ssh => json!({"name": "ssh", "containerPort": SSH_PORT, "protocol": "TCP"}),
        Component::Mirror => json!({"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"}),
    };
    let mut mounts = vec![
        json!({"name": "data", "mountPath": DATA_FOLDER}),
        json!({"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": true}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
    ];
    mounts.extend(
        template
            .secrets
            .iter()
            .map(|(_, folder)| json!({"name": volume(folder), "mountPath": folder, "readOnly": true})),
    );
    let mut container = json!({
        "name": CONTAINER,
        "image": template.knobs.image.unwrap_or(&template.image),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/local/bin/hgd"],
        "args": [role, "--config", format!("{CONFIG_FOLDER}/$(POD_NAME).json")],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
        "ports": [
            own,
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
            {"name": "probes", "containerPort": PROBE_PORT, "protocol": "TCP"},
        ],
        "startupProbe": probe("/healthz", 1, 300),
        "readinessProbe": probe("/readyz", 2, 2),
        "livenessProbe": probe("/healthz", 10, 6),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    });
    if let Volumes::Shared(_) = template.data {
        // For its register: whether the pod that holds it is gone.
        let uid = json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}});
        if let Some(names) = container["env"].as_array_mut() {
            names.push(json!({"name": "POD_UID", "valueFrom": uid}));
        }
    }
    if let Some(resources) = template.knobs.resources {
        container["resources"] = json!(resources);
    }
    if workload.component == Component::Mirror {
        container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": MIRROR_LEAVES_SECONDS}}});
    }
    container
}

fn probe(path: &str, period_seconds: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "probes", "scheme": "HTTP"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    })
}

/// The volume that is mounted there.
fn volume(folder: &str) -> &str {
    match folder {
        TLS_FOLDER => "tls",
        crate::names::HOST_KEYS_FOLDER => "host-keys",
        _ => "users",
    }
}
