//! Shared settings, which several roles are told.

use std::path::PathBuf;

use protocol::InstanceName;
use serde::{Deserialize, Serialize};

/// Where the certificates of this process are: its own, its key, and the authority that signed all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    pub directory: PathBuf,
    /// Left out: `cert.pem` and `key.pem` beside `ca.pem`. Set: `<name>-cert.pem` and `<name>-key.pem`, so that one
    /// directory can hold those of several instances, as the secret of a StatefulSet must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<InstanceName>,
}

pub(crate) fn four_lanes() -> u32 {
    4
}
