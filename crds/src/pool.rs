//! MirrorPool: read-only HTTP instances that follow one SshMaster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{self, range, says};
use crate::{MirrorPoolStatus, SecretRef, ServiceType, Storage, pods, schema};

/// Read-only HTTP instances that follow one SshMaster.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "hg-operator.dev",
    version = "v1alpha1",
    kind = "MirrorPool",
    namespaced,
    status = "MirrorPoolStatus",
    derive = "PartialEq",
    shortname = "hgmp",
    category = "hg",
    doc = "Read-only HTTP instances that follow one SshMaster.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.activeReplicas"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.maxLagRecords"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule("self.minActive <= self.replicas", says::MIN_ACTIVE),
    schema::rule("self.storage.mode == 'PerInstance'", says::POOLS_HAVE_VOLUMES),
]))]
pub struct MirrorPoolSpec {
    /// The SshMaster that the mirrors follow.
    pub master_ref: MasterRef,
    /// How many mirrors; `kubectl scale` changes it too.
    #[serde(default = "two_mirrors", deserialize_with = "bounds::mirrors")]
    #[schemars(schema_with = "range::mirrors")]
    pub replicas: u32,
    /// The volume of each mirror. Without Kubernetes: not used.
    #[serde(default)]
    pub storage: Storage,
    /// Where readers reach HTTP. Without Kubernetes: not used.
    #[serde(default)]
    pub service: MirrorService,
    /// A mirror further behind than either bound leaves the active set.
    #[serde(default)]
    pub max_lag: MaxLag,
    /// Publication waits rather than let lag leave fewer active mirrors than this.
    #[serde(default = "one_active", deserialize_with = "bounds::min_active")]
    #[schemars(schema_with = "range::min_active")]
    pub min_active: u32,
    /// What answers requests.
    #[serde(default)]
    pub web: Web,
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

/// The SshMaster, by name, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [schema::rule("self.name == oldSelf.name", says::MASTER_STAYS)]))]
pub struct MasterRef {
    /// Its name; it never changes.
    #[serde(deserialize_with = "bounds::object_name")]
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// Where readers reach HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [schema::node_port_rule()]))]
pub struct MirrorService {
    /// The type of the Service.
    #[serde(rename = "type")]
    pub kind: ServiceType,
    /// The port of plain HTTP.
    #[serde(deserialize_with = "bounds::port")]
    #[schemars(schema_with = "range::port")]
    pub http: u16,
    /// The port of every node, for type NodePort or LoadBalancer; without it, Kubernetes chooses one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "bounds::node_port")]
    #[schemars(schema_with = "range::port")]
    pub node_port: Option<u16>,
    /// Annotations of the Service, for load balancers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl Default for MirrorService {
    fn default() -> MirrorService {
        MirrorService { kind: ServiceType::ClusterIP, http: 80, node_port: None, annotations: BTreeMap::new() }
    }
}

/// A mirror further behind than either bound leaves the active set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxLag {
    /// In records of the log.
    #[serde(deserialize_with = "bounds::lag_records")]
    #[schemars(schema_with = "range::lag_records")]
    pub records: u64,
    /// In seconds.
    #[serde(deserialize_with = "bounds::lag_seconds")]
    #[schemars(schema_with = "range::lag_seconds")]
    pub seconds: u64,
}

impl Default for MaxLag {
    fn default() -> MaxLag {
        MaxLag { records: 1000, seconds: 30 }
    }
}

/// What answers requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Web {
    /// Processes per mirror that answer requests.
    #[serde(deserialize_with = "bounds::workers")]
    #[schemars(schema_with = "range::workers")]
    pub workers: u32,
}

impl Default for Web {
    fn default() -> Web {
        Web { workers: 4 }
    }
}

fn two_mirrors() -> u32 {
    2
}

fn one_active() -> u32 {
    1
}
