//! SshMaster: the SSH instances of one installation, their log, and who may log in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Quantity, Span, bounds};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshMasterSpec {
    /// One is the master, the others are standbys: 1 to 3.
    #[serde(default = "two_instances", deserialize_with = "bounds::instances")]
    pub instances: u32,
    /// Where readers reach the mirrors, for links and messages; without `/` at its end.
    #[serde(deserialize_with = "bounds::public_url")]
    pub public_url: String,
    /// The host people push to.
    #[serde(deserialize_with = "bounds::host")]
    pub ssh_host: String,
    #[serde(default)]
    pub storage: Storage,
    #[serde(default)]
    pub log: Log,
    #[serde(default)]
    pub service: Service,
    pub directory: Directory,
    /// Set: every push is refused with this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<ReadOnly>,
    /// True: nothing is changed on behalf of this resource.
    #[serde(default)]
    pub suspend: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Storage {
    pub mode: StorageMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageMode {
    /// Each instance has its own volume.
    #[default]
    PerInstance,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    pub engine: Engine,
    pub retention: Retention,
    pub durability: Durability,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// Segment files on the master's own volume.
    #[default]
    Embedded,
}

/// How long the log is held back for an instance that does not follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    pub age: Span,
    pub size: Quantity,
}

impl Default for Retention {
    fn default() -> Retention {
        // The reference keeps 72 hours (facts/hgmo.md, F1).
        Retention { age: Span::hours(72), size: Quantity::gibibytes(20) }
    }
}

/// What happens while no standby acknowledges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// Pushes are refused.
    Strict,
    /// Pushes go on, and everybody is told.
    #[default]
    Degraded,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Service {
    #[serde(rename = "type")]
    pub kind: ServiceType,
    #[serde(deserialize_with = "bounds::port")]
    pub port: u16,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "bounds::node_port")]
    pub node_port: Option<u16>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Default for Service {
    fn default() -> Service {
        Service { kind: ServiceType::ClusterIP, port: 22, node_port: None, annotations: BTreeMap::new() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// Who may log in, and what groups they are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    pub authorized_keys: AuthorizedKeys,
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// A file in the format of OpenSSH's `authorized_keys`; the first word of each line's comment is the user name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizedKeys {
    pub secret_ref: SecretRef,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    #[serde(deserialize_with = "bounds::object_name")]
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    pub name: String,
    /// User names; `*` is everybody who can log in.
    #[serde(deserialize_with = "bounds::members")]
    pub members: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadOnly {
    /// Shown to whoever pushes.
    #[serde(deserialize_with = "bounds::description")]
    pub reason: String,
}

fn two_instances() -> u32 {
    2
}
