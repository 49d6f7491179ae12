//! `hgd balancer`: the TCP load balancer of all-in-one, in front of the mirrors.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Address, Tls};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BalancerRole {
    pub listen: SocketAddr,
    /// The admin addresses of all SSH instances; the one that is master says which mirrors to use.
    pub masters: Vec<Address>,
    pub tls: Tls,
}
