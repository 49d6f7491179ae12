//! What the extension in a hg child and the gate say to each other (docs/protocols.md, "Push gate").

use protocol::{ChangesetId, CreationId, Digest, Offset, UserName};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Request {
    #[serde(rename_all = "camelCase")]
    Open {
        repository: CreationId,
        user: UserName,
        may_write: bool,
    },
    Wait {
        repository: CreationId,
    },
    Append(Box<Append>),
    Closed {
        offset: Offset,
        #[serde(default)]
        failed: bool,
    },
}

#[derive(Debug, Deserialize)]
pub struct Append {
    pub repository: CreationId,
    pub user: UserName,
    /// The repository's applied offset, read under its lock.
    pub applied: Offset,
    pub push: PushedParts,
    /// How many raw bytes follow the frame: the inline bundle, then the inline markers.
    #[serde(default)]
    pub body: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushedParts {
    pub changesets: u64,
    pub tip: Option<ChangesetId>,
    pub heads_added: Vec<ChangesetId>,
    pub heads_removed: Vec<ChangesetId>,
    pub heads: u64,
    pub bookmarks: Vec<(String, Option<ChangesetId>, Option<ChangesetId>)>,
    pub published: Vec<ChangesetId>,
    pub bundle: Option<PushedBytes>,
    pub markers: Option<PushedBytes>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum PushedBytes {
    Inline { inline: usize },
    File { file: std::path::PathBuf, digest: Digest, size: u64 },
}

#[derive(Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    Ok {},
    /// Nothing is in the log; these lines are for the person who pushes.
    Refuse(Vec<String>),
    /// The record may be in the log.
    Unknown(Vec<String>),
    #[serde(rename_all = "camelCase")]
    Recorded {
        offset: Offset,
        push_id: Option<protocol::PushId>,
        /// Since 1970, as written into the pushlog.
        time: u64,
        /// What recording took.
        seconds: f64,
        /// For the person who pushed.
        #[serde(skip_serializing_if = "Option::is_none")]
        warning: Option<&'static str>,
    },
}

/// The reference's text (facts/hgmo.md, F5), which users' tools know.
pub const NOT_AVAILABLE: &str = "replication log not available; all writes disabled";
pub const ALONE: &str = "warning: no standby is in sync: this push is on one disk only until one is";
pub const OUTCOME_UNKNOWN: &str = "outcome unknown: the push may have been recorded";

impl Answer {
    pub fn refuse(line: impl Into<String>) -> Answer {
        Answer::Refuse(vec![line.into()])
    }
}
