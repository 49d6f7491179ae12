//! Names of the objects of a resource, and how they are found.

use std::collections::BTreeMap;

use protocol::InstanceName;
use serde_json::{Value, json};

/// Our field manager for everything but status.
pub const FIELD_MANAGER: &str = "hg-operator";
/// Status has its own, so that one never takes the other's fields away.
pub const STATUS_MANAGER: &str = "hg-operator-status";
/// Hash of what was applied; another one means that something else is wanted now.
pub const APPLIED: &str = "hg-operator.dev/applied";
/// Hash of what a pod reads only when it starts.
pub const CONFIG_HASH: &str = "hg-operator.dev/config";
/// `master` or `standby`, on SSH pods.
pub const ROLE: &str = "hg-operator.dev/role";
/// The readiness gate of mirror pods.
pub const ACTIVE_GATE: &str = "hg-operator.dev/Active";
pub const FINALIZER: &str = "hg-operator.dev/delete-repository";
/// A person's word, `true`, on a HgRepository that is being deleted: it goes, and what the master has of it stays.
pub const ABANDON: &str = "hg-operator.dev/abandon-repository";

/// Our container of a pod; there may be others, by other people's will.
pub const CONTAINER: &str = "hgd";

pub const SSH_PORT: u16 = 2222;
pub const HTTP_PORT: u16 = 8080;
pub const ADMIN_PORT: u16 = 7000;
pub const PROBE_PORT: u16 = 7001;

pub const CONFIG_FOLDER: &str = "/etc/hg-operator/config";
pub const TLS_FOLDER: &str = "/etc/hg-operator/tls";
pub const HOST_KEYS_FOLDER: &str = "/etc/hg-operator/host-keys";
pub const USERS_FOLDER: &str = "/etc/hg-operator/users";
/// The key of the secret that `directory.authorizedKeys` names.
pub const AUTHORIZED_KEYS: &str = "authorized_keys";
pub const DATA_FOLDER: &str = "/data";
/// For sockets, where the data folder is everybody's.
pub const RUN_FOLDER: &str = "/tmp/hgd";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    Ssh,
    Mirror,
}

impl Component {
    pub fn as_str(self) -> &'static str {
        match self {
            Component::Ssh => "ssh",
            Component::Mirror => "mirror",
        }
    }
}

/// Selector of every object of ours.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=hg-operator";

pub fn is_managed(labels: &BTreeMap<String, String>) -> bool {
    MANAGED.split_once('=').is_some_and(|(label, value)| labels.get(label).is_some_and(|found| found == value))
}

/// The pods of one SshMaster or MirrorPool. A StatefulSet's selector never changes, hence no version here.
pub fn labels(component: Component, instance: &str) -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name", "hg-operator"),
        ("app.kubernetes.io/managed-by", "hg-operator"),
        ("app.kubernetes.io/component", component.as_str()),
        ("app.kubernetes.io/instance", instance),
    ];
    labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()
}

/// [`labels`] as they stand in an object.
pub fn selector(component: Component, instance: &str) -> Value {
    json!(labels(component, instance))
}

/// True for what [`labels`] gives.
pub fn is_selected(labels: Option<&BTreeMap<String, String>>, component: Component, instance: &str) -> bool {
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str);
    label("app.kubernetes.io/component") == Some(component.as_str())
        && label("app.kubernetes.io/instance") == Some(instance)
}

/// One StatefulSet's pods and what they are reached by.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    pub component: Component,
    pub namespace: &'a str,
    /// Name of the SshMaster or MirrorPool.
    pub name: &'a str,
}

impl Workload<'_> {
    /// Names the StatefulSet, the ConfigMap and so on.
    pub fn object(&self) -> String {
        format!("{}-{}", self.name, self.component.as_str())
    }

    pub fn headless(&self) -> String {
        format!("{}-instances", self.object())
    }

    pub fn tls_secret(&self) -> String {
        format!("{}-tls", self.object())
    }

    /// The one claim of instances that have one volume.
    pub fn shared_claim(&self) -> String {
        format!("data-{}", self.object())
    }

    pub fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.object())
    }

    /// The ordinal of one of its pods.
    pub fn ordinal(&self, pod: &str) -> Option<u32> {
        pod.strip_prefix(&self.object())?.strip_prefix('-')?.parse().ok()
    }

    pub fn host(&self, pod: &str) -> String {
        format!("{pod}.{}.{}.svc", self.headless(), self.namespace)
    }

    pub fn admin(&self, pod: &str) -> String {
        format!("{}:{ADMIN_PORT}", self.host(pod))
    }

    /// Pods are instances, and are called so. None: the resource's name is not one that pods can have.
    pub fn instance(&self, ordinal: u32) -> Option<InstanceName> {
        self.pod(ordinal).parse().ok()
    }
}

/// Names what is there once for each SshMaster.
pub fn ca_secret(master: &str) -> String {
    format!("{master}-ca")
}

pub fn operator_secret(master: &str) -> String {
    format!("{master}-operator-tls")
}

pub fn host_keys_secret(master: &str) -> String {
    format!("{master}-ssh-host-keys")
}

/// The Service that clients clone from.
pub fn http_service(pool: &str) -> String {
    format!("{pool}-http")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_named_and_reached_as_their_stateful_set_does_it() {
        let ssh = Workload { component: Component::Ssh, namespace: "code", name: "hg" };
        assert_eq!(ssh.admin(&ssh.pod(1)), "hg-ssh-1.hg-ssh-instances.code.svc:7000");
        assert_eq!(ssh.ordinal("hg-ssh-12"), Some(12));
        for other in ["hg-ssh-", "hg-ssh", "hg-ssh-a", "hg-mirror-1", "hg-ssh-x-1"] {
            assert_eq!(ssh.ordinal(other), None, "{other}");
        }
        let dotted = Workload { component: Component::Mirror, namespace: "code", name: "a.b" };
        assert_eq!(dotted.instance(0), None);
    }
}
