//! How pods are reached.

use std::collections::BTreeMap;

use crds::ServiceType;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use crate::apply::Wanted;
use crate::names::{ADMIN_PORT, Workload, selector};

/// Gives each pod its name in DNS, also before it is ready: they must find each other to become ready.
pub fn headless(workload: Workload<'_>) -> Wanted<Service> {
    let selector = selector(workload.component, workload.name);
    let spec = json!({"spec": {
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": selector,
        "ports": [{"name": "admin", "port": ADMIN_PORT, "targetPort": "admin", "protocol": "TCP"}],
    }});
    Wanted::new(workload.headless(), selector, spec)
}

/// Where clients connect.
pub struct Front<'a> {
    pub name: String,
    pub kind: ServiceType,
    /// Port: the name that the container gives it, and the number.
    pub port: (&'static str, u16),
    pub node_port: Option<u16>,
    pub annotations: &'a BTreeMap<String, String>,
    /// Beside the workload's own labels.
    pub selects: Option<(&'static str, &'static str)>,
    /// Clients stay on one pod.
    pub sticky: bool,
}

pub fn front(workload: Workload<'_>, front: Front<'_>) -> Wanted<Service> {
    let labels = selector(workload.component, workload.name);
    let mut selects = labels.clone();
    if let Some((label, value)) = front.selects {
        selects[label] = value.into();
    }
    let (name, port) = front.port;
    let mut port = json!({"name": name, "port": port, "targetPort": name, "protocol": "TCP"});
    if let Some(node_port) = front.node_port.filter(|_| front.kind != ServiceType::ClusterIP) {
        port["nodePort"] = node_port.into();
    }
    let body: Value = json!({
        "metadata": {"annotations": front.annotations},
        "spec": {
            "type": front.kind,
            "selector": selects,
            "sessionAffinity": if front.sticky { "ClientIP" } else { "None" },
            "ports": [port],
        },
    });
    Wanted::new(front.name, labels, body)
}
