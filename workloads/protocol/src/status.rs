//! Status that `/status.json` and `hgd status -o json` answer. Field names are camelCase JSON.

use serde::{Deserialize, Serialize};

use crate::{
    ChangesetId, Generation, InstanceName, MasterSettings, Offset, PushId, RepositoryPath, Timestamp, UserName,
};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub master: Option<InstanceName>,
    /// Nobody answers as master now: the rest is what is known without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<Absence>,
    pub generation: Generation,
    /// The replication log on the master; None: one of an older version answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// Settings that hold for all repositories; None: one of an older version answers, which knows of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<MasterSettings>,
    /// Why every push fails on the master, for a reason of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unable: Option<String>,
    pub instances: Vec<InstanceStatus>,
    pub mirrors: Vec<MirrorStatus>,
    pub repositories: Vec<RepositoryStatus>,
    /// Only for whoever asks with a cursor, `/status.json?generation=N&change=N`: `repositories` has what has changed
    /// since. Older versions answer with everything and without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

/// Why there is no master, as far as the one who answers can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Absence {
    /// For how long it has seen none.
    pub milliseconds: u64,
    /// Sentence that says what is so, and what is waited for.
    pub sentence: String,
    /// Milliseconds until the next step is taken, at the latest; None: nobody knows when.
    pub ends_within: Option<u64>,
}

/// Held by one SSH instance, whatever its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub instance: InstanceStatus,
    /// Without what is published, which only a master knows.
    pub repositories: Vec<RepositoryStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// To ask with the next time.
    pub cursor: Cursor,
    /// `repositories` has all there are: the cursor that was asked with is of another master, or too old.
    pub whole: bool,
    pub gone: Vec<RepositoryPath>,
}

/// A place in the changes that one master has seen. The default is before all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub generation: Generation,
    pub change: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// The oldest record that is kept, one after the newest when none is.
    pub start: Offset,
    /// The newest record that is final.
    pub committed: Offset,
    /// Bytes of its segment files; blobs that records name are beside them.
    pub bytes: u64,
    /// Why pushes are refused; None: they are taken, as far as that can be known before there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses: Option<Refusal>,
}

/// Why no record can be appended or committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// The volume of the log has no room left.
    VolumeFull,
    /// The volume of the log did not take the last record.
    VolumeFails,
    /// Nobody but the master would have the record, and the durability is `Strict`.
    NoStandby,
    /// A standby that every record needs is not connected.
    StandbyAway,
    /// Another master is to be named.
    Draining,
    /// Where all instances have one volume: the register was not renewed in time.
    LeaseOver,
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
    /// Repositories in quarantine here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<RepositoryPath>,
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
    /// The newest of its records; zero: one of an older version answers.
    #[serde(default)]
    pub newest: Offset,
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
