//! SshMaster: the SSH instances of one installation, their log, and who may log in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{self, range, says};
use crate::{Quantity, Span, SshMasterStatus, pods, schema};

/// The SSH instances of one installation, one of which is the master that accepts pushes; their log; and who may log
/// in.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "hg-operator.dev",
    version = "v1alpha1",
    kind = "SshMaster",
    namespaced,
    status = "SshMasterStatus",
    derive = "PartialEq",
    shortname = "hgm",
    category = "hg",
    doc = "The SSH instances of one installation, one of which is the master that accepts pushes.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Master", type_ = "string", json_path = ".status.master"),
    printcolumn(name = "Standby", type_ = "string", json_path = ".status.standbys[0]"),
    printcolumn(name = "Generation", type_ = "integer", json_path = ".status.generation"),
    printcolumn(name = "Repos", type_ = "integer", json_path = ".status.repositories"),
    printcolumn(name = "Mirrors", type_ = "string", json_path = ".status.mirrors"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "quantity(self.log.retention.size).isLessThan(quantity(self.storage.size))",
    says::RETENTION_FITS
), schema::rule(
    "self.storage.mode != 'Shared' || self.log.durability != 'Strict'",
    says::STRICT_NEEDS_STANDBYS
), schema::rule("self.instances > 1 || self.log.durability != 'Strict'", says::STRICT_NEEDS_TWO)]))]
pub struct SshMasterSpec {
    /// How many SSH instances: one is the master, the others are standbys.
    #[serde(default = "two_instances", deserialize_with = "bounds::instances")]
    #[schemars(schema_with = "range::instances")]
    pub instances: u32,
    /// Where readers reach the mirrors, for links and messages; without `/` at its end.
    #[serde(deserialize_with = "bounds::public_url")]
    #[schemars(schema_with = "schema::public_url")]
    pub public_url: String,
    /// The host people push to.
    #[serde(deserialize_with = "bounds::host")]
    #[schemars(schema_with = "schema::host")]
    pub ssh_host: String,
    /// The volume of each instance, or of all. Without Kubernetes only its mode is used.
    #[serde(default)]
    pub storage: Storage,
    /// The replication log: what standbys and mirrors follow.
    #[serde(default)]
    pub log: Log,
    /// Where people reach SSH. Without Kubernetes: not used.
    #[serde(default)]
    pub service: Service,
    /// The secret with the host's private keys, one key each, named as OpenSSH names the files. Without it the
    /// operator makes keys once and keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_keys_secret_ref: Option<SecretRef>,
    /// Who may log in, and what groups they are in.
    pub directory: Directory,
    /// When a standby becomes master by itself.
    #[serde(default)]
    pub failover: Failover,
    /// Set: every push is refused with this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<ReadOnly>,
    /// The most that a client may send with one push; without it, 16Gi.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounds::largest_push")]
    #[schemars(schema_with = "schema::largest_push")]
    pub largest_push: Option<Quantity>,
    /// True: nothing is changed on behalf of this resource; what runs goes on.
    #[serde(default)]
    pub suspend: bool,
    /// The image of the instances; without it, the operator's own. Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounds::image")]
    #[schemars(schema_with = "schema::image")]
    pub image: Option<String>,
    /// Processor and memory of each pod. Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "pods::resources")]
    #[schemars(schema_with = "pods::resources_schema")]
    pub resources: Option<ResourceRequirements>,
    /// Labels a node must have. Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::node_selector")]
    pub node_selector: BTreeMap<String, String>,
    /// Which nodes and neighbours the pods want, as in a pod; without it, the operator asks to spread them over nodes.
    /// Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pods::affinity_schema")]
    pub affinity: Option<Affinity>,
    /// Taints of nodes that the pods bear. Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pods::tolerations_schema")]
    pub tolerations: Vec<Toleration>,
    /// How the pods are spread, as in a pod. Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pods::topology_spread_schema")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Annotations of the pods. Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Secrets with which nodes fetch the image. Without Kubernetes: not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pods::pull_secrets_schema")]
    pub image_pull_secrets: Vec<SecretRef>,
}

/// The volume of each instance, or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "has(self.storageClassName) == has(oldSelf.storageClassName) && \
     (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
    says::STORAGE_CLASS_STAYS
), schema::rule("self.mode == oldSelf.mode", says::STORAGE_MODE_STAYS)]))]
pub struct Storage {
    /// Who has a volume. It never changes.
    pub mode: StorageMode,
    /// What is asked of the storage class for each volume; it may grow where the class allows it, never shrink.
    #[serde(deserialize_with = "bounds::volume_size")]
    #[schemars(schema_with = "schema::volume_size")]
    pub size: Quantity,
    /// The storage class; without it, the cluster's default one. It never changes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "bounds::some_object_name")]
    #[schemars(schema_with = "schema::object_name")]
    pub storage_class_name: Option<String>,
}

impl Default for Storage {
    fn default() -> Storage {
        Storage { mode: StorageMode::default(), size: Quantity::gibibytes(50), storage_class_name: None }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StorageMode {
    /// Each instance has its own volume.
    #[default]
    PerInstance,
    /// All SSH instances have one volume, which must be ReadWriteMany: whoever is master opens it.
    Shared,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// Where the log is kept.
    pub engine: Engine,
    /// How long the log is held back for an instance that does not follow.
    pub retention: Retention,
    /// What happens while no standby acknowledges.
    pub durability: Durability,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// Segment files on the master's own volume.
    #[default]
    Embedded,
}

/// How long the log is held back for an instance that does not follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    /// The oldest record that is held back, such as 72h.
    #[serde(deserialize_with = "bounds::retention_age")]
    #[schemars(schema_with = "schema::retention_age")]
    pub age: Span,
    /// How much is held back, such as 20Gi; less than the volume.
    #[serde(deserialize_with = "bounds::retention_size")]
    #[schemars(schema_with = "schema::retention_size")]
    pub size: Quantity,
}

impl Default for Retention {
    fn default() -> Retention {
        // The reference keeps 72 hours (facts/hgmo.md, F1).
        Retention { age: Span::hours(72), size: Quantity::gibibytes(20) }
    }
}

/// What happens while no standby acknowledges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Durability {
    /// Pushes are refused.
    Strict,
    /// Pushes go on, and everybody is told.
    #[default]
    Degraded,
}

/// When a standby becomes master by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Failover {
    /// False: only a person's word makes a standby master.
    pub enabled: bool,
    /// How long the master is silent for the operator and for its standbys before another takes its place.
    #[serde(deserialize_with = "bounds::detection_seconds")]
    #[schemars(schema_with = "range::detection_seconds")]
    pub detection_seconds: u32,
    /// For how long a promotion for silence makes the next one wait, twice as long each time, such as 60s.
    #[schemars(schema_with = "schema::span")]
    pub min_interval: Span,
    /// With one volume for all instances: for how long the master may write.
    pub lease: Lease,
}

impl Default for Failover {
    fn default() -> Failover {
        Failover { enabled: true, detection_seconds: 3, min_interval: Span::minutes(1), lease: Lease::default() }
    }
}

/// With one volume for all instances: for how long the master may write. It renews the register all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "duration(self.renewDeadline) < duration(self.duration) && \
     duration(self.retryPeriod) + duration('1s') < duration(self.renewDeadline)",
    says::LEASE
)]))]
pub struct Lease {
    /// Not renewed for this long, it has run out: from then on a person's word that the master is off is believed.
    #[serde(deserialize_with = "bounds::lease_span")]
    #[schemars(schema_with = "schema::lease_span")]
    pub duration: Span,
    /// Not renewed for this long (less a second), the master refuses writes.
    #[serde(deserialize_with = "bounds::lease_span")]
    #[schemars(schema_with = "schema::lease_span")]
    pub renew_deadline: Span,
    /// How often it is renewed.
    #[serde(deserialize_with = "bounds::lease_span")]
    #[schemars(schema_with = "schema::lease_span")]
    pub retry_period: Span,
}

impl Default for Lease {
    fn default() -> Lease {
        Lease { duration: Span::seconds(15), renew_deadline: Span::seconds(10), retry_period: Span::seconds(2) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [schema::node_port_rule()]))]
pub struct Service {
    /// The type of the Service.
    #[serde(rename = "type")]
    pub kind: ServiceType,
    /// The port people push to.
    #[serde(deserialize_with = "bounds::port")]
    #[schemars(schema_with = "range::port")]
    pub port: u16,
    /// The port of every node, for type NodePort or LoadBalancer; without it, Kubernetes chooses one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "bounds::node_port")]
    #[schemars(schema_with = "range::port")]
    pub node_port: Option<u16>,
    /// Annotations of the Service, for load balancers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl Default for Service {
    fn default() -> Service {
        Service { kind: ServiceType::ClusterIP, port: 22, node_port: None, annotations: BTreeMap::new() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// Who may log in, and what groups they are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// People and their public keys.
    pub authorized_keys: AuthorizedKeys,
    /// Groups, which repositories name.
    #[serde(default)]
    #[schemars(schema_with = "schema::groups")]
    pub groups: Vec<Group>,
}

/// A file in the format of OpenSSH's `authorized_keys`; the first word of each line's comment is the user name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizedKeys {
    /// The secret with that file under the key `authorized_keys`.
    pub secret_ref: SecretRef,
}

/// A secret, by name, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Its name.
    #[serde(deserialize_with = "bounds::object_name")]
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// A group of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    /// What repositories call it.
    #[serde(deserialize_with = "bounds::group_name")]
    #[schemars(schema_with = "schema::group_name")]
    pub name: String,
    /// User names; `*` is everybody who can log in.
    #[serde(deserialize_with = "bounds::members")]
    #[schemars(schema_with = "schema::members")]
    pub members: Vec<String>,
}

impl SshMasterSpec {
    /// What the master is told of it while it runs.
    pub fn settings(&self) -> protocol::MasterSettings {
        let read_only_reason = self.read_only.as_ref().map(|read_only| read_only.reason.clone());
        let largest_push_bytes = self.largest_push.as_ref().map(|size| size.bytes);
        protocol::MasterSettings { read_only_reason, largest_push_bytes }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadOnly {
    /// Shown to whoever pushes.
    #[serde(deserialize_with = "bounds::reason")]
    #[schemars(schema_with = "schema::reason")]
    pub reason: String,
}

fn two_instances() -> u32 {
    2
}
