//! MirrorPool: read-only HTTP instances that follow one SshMaster.

use serde::{Deserialize, Serialize};

use crate::{ServiceType, Storage, bounds};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MirrorPoolSpec {
    pub master_ref: MasterRef,
    /// How many mirrors: 0 to 100.
    #[serde(default = "two_mirrors", deserialize_with = "bounds::mirrors")]
    pub replicas: u32,
    #[serde(default)]
    pub storage: Storage,
    #[serde(default)]
    pub service: MirrorService,
    #[serde(default)]
    pub max_lag: MaxLag,
    /// Publication waits rather than let lag leave fewer active mirrors than this.
    #[serde(default = "one_active", deserialize_with = "bounds::min_active")]
    pub min_active: u32,
    #[serde(default)]
    pub web: Web,
}

/// The SshMaster, by name, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MasterRef {
    #[serde(deserialize_with = "bounds::object_name")]
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MirrorService {
    #[serde(rename = "type")]
    pub kind: ServiceType,
    /// The port of plain HTTP.
    #[serde(deserialize_with = "bounds::port")]
    pub http: u16,
}

impl Default for MirrorService {
    fn default() -> MirrorService {
        MirrorService { kind: ServiceType::ClusterIP, http: 80 }
    }
}

/// A mirror further behind than either bound leaves the active set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxLag {
    #[serde(deserialize_with = "bounds::lag_records")]
    pub records: u64,
    #[serde(deserialize_with = "bounds::lag_seconds")]
    pub seconds: u64,
}

impl Default for MaxLag {
    fn default() -> MaxLag {
        MaxLag { records: 1000, seconds: 30 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Web {
    /// Processes per mirror that answer requests.
    #[serde(deserialize_with = "bounds::workers")]
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
