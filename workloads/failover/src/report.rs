//! Report of an SSH instance on itself (`GET /v1/instance`, and the answer to a seal). JSON, camelCase.

use protocol::status::Role;
use protocol::{DiskId, Generation, InstanceName, Offset};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceReport {
    pub name: InstanceName,
    /// None: it has not been opened.
    pub disk: Option<DiskId>,
    pub role: Role,
    /// The generation that it writes, or that it follows. 0: neither.
    pub generation: Generation,
    /// Seal: every older generation is refused.
    pub sealed: Generation,
    pub replication: LogEnd,
    pub publication: LogEnd,
    /// How long ago the master that it follows last said something, in milliseconds. None: it follows nobody.
    pub heard: Option<u64>,
    /// A master: it takes pushes.
    pub open: bool,
    /// Released, of instances that have one volume: this process has opened nothing of it since it was started, and
    /// neither has a process of this instance that still runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// Why every push fails here, or would, for a reason of this instance's own; None: its newest proof went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unable: Option<String>,
}

/// How far a log goes here. A later generation is ahead, whatever the offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogEnd {
    pub generation: Generation,
    pub offset: Offset,
}

/// The answer of a master that takes no more pushes, when all that it took are final.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Drained {
    pub generation: Generation,
}
