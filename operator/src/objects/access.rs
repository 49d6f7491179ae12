//! Access that SSH instances have to the API server: they read and write their one register, nothing else.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::json;

use crate::apply::Wanted;
use crate::names::{Workload, selector};

pub fn account(workload: Workload<'_>) -> Wanted<ServiceAccount> {
    let labels = selector(workload.component, workload.name);
    Wanted::new(workload.object(), labels, json!({"automountServiceAccountToken": false}))
}

pub fn role(workload: Workload<'_>) -> Wanted<Role> {
    let rules = json!({"rules": [{
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [workload.name],
        "verbs": ["get", "update"],
    }]});
    Wanted::new(workload.object(), selector(workload.component, workload.name), rules)
}

pub fn binding(workload: Workload<'_>) -> Wanted<RoleBinding> {
    let name = workload.object();
    let body = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": workload.namespace}],
    });
    Wanted::new(name, selector(workload.component, workload.name), body)
}
