//! What the register holds.

use std::collections::BTreeSet;

use protocol::{Generation, InstanceName};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    pub generation: Generation,
    /// None while a promotion has frozen the register.
    pub master: Option<InstanceName>,
    /// The standbys whose acknowledgement a commit needs.
    pub in_sync: BTreeSet<InstanceName>,
}

/// Another one after each write. A write names the version that it read, so that two writers cannot both win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// What the first write of a file expects: nothing has been written yet.
    None,
    /// The number of the write that made the file.
    File(u64),
    /// The Lease's `resourceVersion`.
    Lease(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    pub version: Version,
    pub value: T,
}
