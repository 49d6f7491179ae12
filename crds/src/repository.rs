//! HgRepository: one repository.

use protocol::{RepositoryPath, RepositorySettings};
use serde::{Deserialize, Serialize};

use crate::{MasterRef, ReadOnly, bounds};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HgRepositorySpec {
    /// Where it is found below the host; never changes.
    #[serde(deserialize_with = "bounds::repository_path")]
    pub path: RepositoryPath,
    pub master_ref: MasterRef,
    #[serde(default, deserialize_with = "bounds::description")]
    pub description: String,
    /// Groups that may push; empty: nobody.
    #[serde(default)]
    pub write_groups: Vec<String>,
    /// Groups that may read; empty: everybody. A repository with any is served over SSH only.
    #[serde(default)]
    pub read_groups: Vec<String>,
    /// False: pushed changesets stay drafts.
    #[serde(default = "yes")]
    pub publishing: bool,
    /// True: obsolescence markers are exchanged.
    #[serde(default)]
    pub obsolescence: bool,
    /// Set: pushes are refused with this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<ReadOnly>,
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What happens to the repository when its resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}

impl HgRepositorySpec {
    /// What the instances need to know of it.
    pub fn settings(&self) -> RepositorySettings {
        RepositorySettings {
            description: self.description.clone(),
            write_groups: self.write_groups.clone(),
            read_groups: self.read_groups.clone(),
            publishing: self.publishing,
            obsolescence: self.obsolescence,
            read_only_reason: self.read_only.as_ref().map(|read_only| read_only.reason.clone()),
        }
    }
}

fn yes() -> bool {
    true
}
