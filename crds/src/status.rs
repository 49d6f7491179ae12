//! What the operator reports of each resource. It changes on transitions and pushes only; what moves all the time,
//! such as lag between two looks, is a metric.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use protocol::status::MirrorState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// No status names more mirrors than this: the worst ones.
pub const MAX_REPORTED_MIRRORS: usize = 20;

/// What the operator sees of an SshMaster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SshMasterStatus {
    /// The generation of the resource (not of the master) that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The instance that accepts pushes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The instances that can be promoted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<String>,
    /// The number of the master's reign; it grows by one at each promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The replication log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// The newest change of master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_promotion: Option<Promotion>,
    /// Of the host's public keys, as OpenSSH prints them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_key_fingerprints: Vec<String>,
    /// How many repositories the master has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<i64>,
    /// How many of its mirrors are active, such as 3/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<String>,
    /// Ready is their summary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// The replication log, as of the last push or transition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LogStatus {
    /// The offset of its newest record.
    pub head: i64,
    /// The offset of its oldest record that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// What its records take on the volume; large pushes lie beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// A change of master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// When it was named.
    pub at: Time,
    /// The master before, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The master since.
    pub to: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What shows that the master before could write nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence_proof: Option<String>,
    /// How long it took from the decision until another was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<i64>,
}

/// What the operator sees of a MirrorPool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MirrorPoolStatus {
    /// The generation of the resource that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many mirrors there are.
    pub replicas: i32,
    /// How many of them are ready.
    pub ready_replicas: i32,
    /// How many of them release and publication wait for.
    pub active_replicas: i32,
    /// Selects the pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Everything up to this record is shown by all active mirrors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_offset: Option<i64>,
    /// How far the last mirror was behind, in records of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lag_records: Option<i64>,
    /// How far the last mirror was behind, in seconds, as a step: 0, 1, 2, 5, 10, 30, 60, 300, 900, 3600 and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lag_seconds: Option<i64>,
    /// The mirrors, the worst first; at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub mirrors: Vec<PoolMirror>,
    /// Ready is their summary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// One mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolMirror {
    /// The name of its pod.
    pub name: String,
    /// What it is doing.
    #[schemars(schema_with = "schema::mirror_state")]
    pub state: MirrorState,
    /// Everything up to this record is stored on it.
    pub offset: i64,
    /// How far it was behind, in records of the log.
    pub lag: i64,
    /// How many repositories are set aside on it after repeated failure.
    #[serde(default)]
    pub quarantined: i64,
}

/// What the operator sees of an HgRepository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HgRepositoryStatus {
    /// The generation of the resource that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The newest changeset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tip: Option<String>,
    /// How many heads it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<i64>,
    /// How many changesets it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changesets: Option<i64>,
    /// The newest push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_push: Option<LastPush>,
    /// The newest of its records that every active mirror shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_offset: Option<i64>,
    /// How many active mirrors show its newest record, of all that its pools are to have, such as 3/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrors_in_sync: Option<String>,
    /// Where it is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urls: Option<Urls>,
    /// Ready is their summary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// A push.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastPush {
    /// Its number in the pushlog.
    pub id: i64,
    /// Who pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// Where a repository is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Urls {
    /// To push to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// To read from; a private repository has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
}
