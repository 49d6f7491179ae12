//! `hgd balancer`: the TCP load balancer of all-in-one, in front of the mirrors.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use protocol::InstanceName;
use serde::{Deserialize, Serialize};

use crate::{Address, Tls};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BalancerRole {
    pub listen: SocketAddr,
    /// All SSH instances, by name: where their admin port is reached. The one that is master says which mirrors to
    /// use.
    pub masters: BTreeMap<InstanceName, Address>,
    pub tls: Tls,
}
