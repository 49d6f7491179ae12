//! Policies: what may be disturbed, and who may speak to whom.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;

use super::Maker;
use crate::apply::Wanted;
use crate::names::{ADMIN_PORT, Component, HTTP_PORT, PROBE_PORT, SSH_PORT, Workload, selector};

/// A namespace's own name, which the API server puts on each.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// One pod at a time; one that serves nobody is never in the way of a drain.
pub fn budget(workload: Workload<'_>) -> Wanted<PodDisruptionBudget> {
    let selector = selector(workload.component, workload.name);
    let spec = json!({"spec": {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector},
    }});
    Wanted::new(workload.object(), selector, spec)
}

/// Clients and probes from anywhere; the admin port only from instances of this namespace and from the operator, which
/// show certificates besides.
pub fn network(workload: Workload<'_>, operator: &Maker) -> Wanted<NetworkPolicy> {
    let selector = selector(workload.component, workload.name);
    let public = match workload.component {
        Component::Ssh => SSH_PORT,
        Component::Mirror => HTTP_PORT,
    };
    let spec = json!({"spec": {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": public, "protocol": "TCP"}, {"port": PROBE_PORT, "protocol": "TCP"}]},
            {
                "ports": [{"port": ADMIN_PORT, "protocol": "TCP"}],
                "from": [
                    {"podSelector": {"matchLabels": {
                        "app.kubernetes.io/name": "hg-operator",
                        "app.kubernetes.io/managed-by": "hg-operator",
                    }}},
                    {
                        "namespaceSelector": {"matchLabels": {NAMESPACE: &*operator.namespace}},
                        "podSelector": {"matchLabels": {
                            "app.kubernetes.io/name": "hg-operator",
                            "app.kubernetes.io/component": "operator",
                        }},
                    },
                ],
            },
        ],
    }});
    Wanted::new(workload.object(), selector, spec)
}
