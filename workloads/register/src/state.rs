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

/// Grows by one at each write. A write names the version that it read, so that two writers cannot both win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// What the first write expects: nothing has been written yet.
    pub const NONE: Version = Version(0);
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned<T> {
    pub version: Version,
    #[serde(flatten)]
    pub value: T,
}
