//! What several roles are told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the certificates of this process are: its own, its key, and the authority that signed all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    pub directory: PathBuf,
}

pub(crate) fn four_lanes() -> u32 {
    4
}
