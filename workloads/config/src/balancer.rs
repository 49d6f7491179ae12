//! `hgd balancer`: the TCP load balancer of all-in-one, in front of the mirrors and of the master.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::InstanceName;
use serde::{Deserialize, Serialize};

use crate::{Address, Tls};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BalancerRole {
    pub listen: SocketAddr,
    /// Where people push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshFront>,
    /// All SSH instances, by name: where their admin port is reached. The one that is master says which mirrors to
    /// use.
    pub masters: BTreeMap<InstanceName, Address>,
    pub tls: Tls,
}

/// Connections go to whoever is master by the register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshFront {
    pub listen: SocketAddr,
    /// The register's file.
    pub register: PathBuf,
    /// Where each SSH instance takes SSH connections.
    pub instances: BTreeMap<InstanceName, Address>,
}
