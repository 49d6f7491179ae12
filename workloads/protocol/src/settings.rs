//! Settings that a repository is made with and set up by; the hgrc of every instance is generated from them.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// The store format of one repository life, pinned at creation so that instances with different Mercurial versions
/// make the same one. Version 1: `revlogv1, store, fncache, dotencode, generaldelta, sparserevlog,
/// revlog-compression-zstd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
pub enum RepositoryFormat {
    #[default]
    #[n(1)]
    V1,
}

/// `HgRepository.spec` as far as instances need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RepositorySettings {
    /// One printable line for the index pages.
    #[n(0)]
    pub description: String,
    /// Groups that may push; empty: nobody.
    #[n(1)]
    pub write_groups: Vec<String>,
    /// Groups that may read; empty: everybody. A repository with any is never on a mirror.
    #[n(2)]
    pub read_groups: Vec<String>,
    /// False: pushed changesets stay drafts.
    #[n(3)]
    pub publishing: bool,
    /// True: obsolescence markers are exchanged.
    #[n(4)]
    pub obsolescence: bool,
    /// Set: pushes are refused with this text.
    #[n(5)]
    pub read_only_reason: Option<String>,
}

/// `SshMaster.spec` as far as it holds for every repository and can change while instances run. A field that this
/// version does not know is left out, not refused: another version put it there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MasterSettings {
    /// Set: every push is refused with this text.
    #[n(0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_reason: Option<String>,
    /// The most bytes that a client sends with one push; unset: as the server's hgrc says.
    #[n(1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_push_bytes: Option<u64>,
}

impl MasterSettings {
    pub fn is_default(&self) -> bool {
        *self == MasterSettings::default()
    }
}
