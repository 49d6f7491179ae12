//! The three resources an installation is described with, and how a file of them is read without Kubernetes.
//!
//! What is not implemented is not accepted: a field or value that these types know does what it says.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
// kube's `printcolumn` says `type_` and `priority` once for each column.
#![allow(clippy::duplicated_attributes)]

mod bounds;
mod check;
pub mod conditions;
mod definitions;
mod error;
pub mod events;
mod master;
mod parse;
mod places;
mod pods;
mod pool;
mod quantities;
mod repository;
mod schema;
mod status;

pub use definitions::{Manifest, ManifestError, definitions, manifests};
pub use error::ParseError;
pub use master::{
    AuthorizedKeys, Directory, Durability, Engine, Failover, Group, Lease, Log, ReadOnly, Retention, SecretRef,
    Service, ServiceType, SshMaster, SshMasterSpec, Storage, StorageMode,
};
pub use parse::{Metadata, Resource, Resources, parse};
pub use pods::Pods;
pub use pool::{MasterRef, MaxLag, MirrorPool, MirrorPoolSpec, MirrorService, Web};
pub use quantities::{Quantity, Span};
pub use repository::{DeletionPolicy, HgRepository, HgRepositorySpec, ImportSource};
pub use status::{
    HgRepositoryStatus, LastPush, LogStatus, MAX_REPORTED_MIRRORS, MirrorPoolStatus, PoolMirror, Promotion,
    SshMasterStatus, Urls,
};

pub const API_VERSION: &str = "hg-operator.dev/v1alpha1";
