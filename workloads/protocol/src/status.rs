//! What `/status.json` and `hgd status -o json` answer. Field names are camelCase JSON.

use serde::{Deserialize, Serialize};

use crate::{ChangesetId, Generation, InstanceName, Offset, PushId, RepositoryPath, Timestamp, UserName};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub master: Option<InstanceName>,
    pub generation: Generation,
    /// The replication log on the master; None: one of an older version answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    pub instances: Vec<InstanceStatus>,
    pub mirrors: Vec<MirrorStatus>,
    pub repositories: Vec<RepositoryStatus>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// The oldest record that is kept, one after the newest when none is.
    pub start: Offset,
    /// The newest record that is final.
    pub committed: Offset,
    /// Of its segment files; blobs that records name are beside them.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    pub name: InstanceName,
    pub role: Role,
    /// Absent where the one who answers does not know it.
    pub pid: Option<u32>,
    pub generation: Generation,
    /// Everything up to this record is in its repositories.
    pub applied: Offset,
    /// The master, or a standby that has everything that was acknowledged.
    #[serde(default)]
    pub in_sync: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    Master,
    Standby,
    /// Not heard from.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorStatus {
    pub name: InstanceName,
    pub pid: Option<u32>,
    pub state: MirrorState,
    pub url: String,
    pub applied: Offset,
    /// Everything up to this record is shown here.
    pub published: Offset,
    /// How long ago that was committed which it has not yet done, in whole seconds.
    #[serde(default)]
    pub lag_seconds: u64,
    /// Repositories in quarantine here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<RepositoryPath>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MirrorState {
    Bootstrapping,
    CatchingUp,
    Active,
    Lagging,
    Unreachable,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatus {
    pub path: RepositoryPath,
    pub tip: Option<ChangesetId>,
    pub heads: u64,
    pub changesets: u64,
    /// The newest of its records that every active mirror shows.
    pub published: Offset,
    /// The newest row of its pushlog; None: there is none, or nobody knows any more whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_push: Option<PushStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushStatus {
    pub id: PushId,
    pub user: UserName,
    pub at: Timestamp,
}
