//! HgRepository: one repository.

use kube::CustomResource;
use protocol::{RepositoryPath, RepositorySettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::{HgRepositoryStatus, MasterRef, ReadOnly, schema};

/// One repository.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "hg-operator.dev",
    version = "v1alpha1",
    kind = "HgRepository",
    plural = "hgrepositories",
    namespaced,
    status = "HgRepositoryStatus",
    derive = "PartialEq",
    shortname = "hgr",
    category = "hg",
    doc = "One repository.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Path", type_ = "string", json_path = ".spec.path"),
    printcolumn(name = "Mirrors", type_ = "string", json_path = ".status.mirrorsInSync"),
    printcolumn(name = "Last-Push", type_ = "date", json_path = ".status.lastPush.at"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HgRepositorySpec {
    /// Where it is found below the host; never changes.
    #[serde(deserialize_with = "bounds::repository_path")]
    #[schemars(schema_with = "schema::repository_path")]
    pub path: RepositoryPath,
    /// The SshMaster that keeps it.
    pub master_ref: MasterRef,
    /// One printable line for the index pages.
    #[serde(default, deserialize_with = "bounds::description")]
    #[schemars(schema_with = "schema::description")]
    pub description: String,
    /// Groups that may push; empty: nobody.
    #[serde(default, deserialize_with = "bounds::group_names")]
    #[schemars(schema_with = "schema::group_names")]
    pub write_groups: Vec<String>,
    /// Groups that may read; empty: everybody. A repository with any is served over SSH only.
    #[serde(default, deserialize_with = "bounds::group_names")]
    #[schemars(schema_with = "schema::group_names")]
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
    /// What happens to the repository's data when its resource is deleted. Without Kubernetes: not used.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Filled from there once, when it is made; a later change does nothing. Without Kubernetes: refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ImportSource>,
}

/// Where a new repository is filled from: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [schema::one_source_rule()]))]
pub struct ImportSource {
    /// A Mercurial repository that is pulled from.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounds::source_url")]
    #[schemars(schema_with = "schema::source_url")]
    pub url: Option<String>,
    /// A bundle that is fetched and unbundled.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounds::source_url")]
    #[schemars(schema_with = "schema::source_url")]
    pub bundle_url: Option<String>,
}

/// What happens to the repository when its resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is kept on the instances, and a resource with its path finds it again.
    #[default]
    Retain,
    /// It is deleted everywhere.
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
