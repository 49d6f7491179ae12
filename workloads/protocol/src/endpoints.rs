//! `POST /v1/endpoints`: the balancer tells the master what it really uses, and learns what it should use.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::InstanceName;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingReport {
    pub serving: Vec<Serving>,
    /// All mirrors that there are or shall be, serving or not; None: the sender does not know. One that is not among
    /// them and not connected is gone for good: nobody waits for it, whatever the floor says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<BTreeSet<InstanceName>>,
}

/// An instance that is absent from the report is out of rotation and has no connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    pub name: InstanceName,
    /// Open connections of clients.
    pub connections: u64,
    /// True before the first connection may go there, and until after the last one may have: said a little longer than
    /// it is so, never shorter.
    pub in_rotation: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub name: InstanceName,
    /// `host:port`
    pub address: String,
}
