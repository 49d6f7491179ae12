//! `hgd ssh`: an SSH instance, master or standby.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::InstanceName;
use serde::{Deserialize, Serialize};

use crate::{Address, Register, Tls, bounds, shared};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshRole {
    pub name: InstanceName,
    pub data_directory: PathBuf,
    /// Some: the data directory is on a volume that all SSH instances have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedVolume>,
    pub ssh_listen: SocketAddr,
    /// True: a balancer on this machine says in a first line whose a connection is (PROXY protocol), and is believed.
    /// Left out, whoever connects is the client.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind_balancer: bool,
    /// The same for all instances of one installation, so that a promotion does not look like an attack to clients.
    pub host_keys_directory: PathBuf,
    pub admin_listen: SocketAddr,
    /// Plain HTTP for probes and metrics, to whoever can reach it: `/healthz`, `/readyz`, `/metrics`. None when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_listen: Option<SocketAddr>,
    /// Where readers reach the mirrors; without `/` at its end.
    pub public_url: String,
    /// The other SSH instances, by name: where their admin port is reached.
    #[serde(default)]
    pub peers: BTreeMap<InstanceName, Address>,
    /// The standbys of the first generation, which stand in the register: nobody reads them here. They stay, because
    /// without them every configuration would be another, and a new operator would restart all SSH pods.
    #[serde(default)]
    pub in_sync: BTreeSet<InstanceName>,
    /// Register: who is master, and whose acknowledgement a commit needs.
    pub register: Register,
    /// The Python interpreter that can import Mercurial.
    pub python: PathBuf,
    /// An hgrc of the site, read before ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_hgrc: Option<PathBuf>,
    pub directory: Directory,
    #[serde(default)]
    pub mirrors: Mirrors,
    #[serde(default)]
    pub log: Log,
    /// How many repositories are worked on at once.
    #[serde(default = "shared::four_lanes", deserialize_with = "bounds::lanes")]
    pub lanes: u32,
    pub tls: Tls,
    /// Operators of older versions write it; nobody reads it here. The master is told while it runs, and no pod
    /// restarts for it.
    #[serde(default, skip_serializing)]
    pub read_only_reason: Option<String>,
}

/// Volume that is shared: what an instance needs whose data directory others may open, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SharedVolume {
    /// For sockets and what is only for the life of a process; this instance's own, on this machine.
    pub run_directory: PathBuf,
    /// Seen unrenewed for this long, the register of a master that is gone is taken over.
    #[serde(deserialize_with = "bounds::seconds")]
    pub lease_seconds: u64,
    /// Without a renewal of the register for this long the master refuses writes.
    #[serde(deserialize_with = "bounds::seconds")]
    pub renew_deadline_seconds: u64,
    /// Between two renewals.
    #[serde(deserialize_with = "bounds::seconds")]
    pub retry_period_seconds: u64,
}

/// Directory of those who may log in, and of the groups that they are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    pub authorized_keys_file: PathBuf,
    /// Group name to user names; `*` is everybody who can log in.
    #[serde(default)]
    pub groups: BTreeMap<String, BTreeSet<String>>,
}

/// When mirrors count for publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mirrors {
    #[serde(deserialize_with = "bounds::min_active")]
    pub min_active: u32,
    pub max_lag: MaxLag,
}

impl Default for Mirrors {
    fn default() -> Mirrors {
        Mirrors { min_active: 1, max_lag: MaxLag::default() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxLag {
    #[serde(deserialize_with = "bounds::records")]
    pub records: u64,
    #[serde(deserialize_with = "bounds::seconds")]
    pub seconds: u64,
}

impl Default for MaxLag {
    fn default() -> MaxLag {
        MaxLag { records: 1000, seconds: 30 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// A segment file is closed when it is longer than this.
    #[serde(deserialize_with = "bounds::segment_bytes")]
    pub segment_bytes: u64,
    pub retention: Retention,
    pub durability: Durability,
}

impl Default for Log {
    fn default() -> Log {
        Log { segment_bytes: 64 * 1024 * 1024, retention: Retention::default(), durability: Durability::default() }
    }
}

/// How long the log is held back for an instance that does not follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    #[serde(deserialize_with = "bounds::retention_seconds")]
    pub age_seconds: u64,
    #[serde(deserialize_with = "bounds::retention_bytes")]
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        // The reference keeps 72 hours (facts/hgmo.md, F1).
        Retention { age_seconds: 72 * 3600, bytes: 20 << 30 }
    }
}

/// Durability: what happens while no standby acknowledges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// Pushes are refused.
    Strict,
    /// Pushes go on, and everybody is told.
    #[default]
    Degraded,
}
