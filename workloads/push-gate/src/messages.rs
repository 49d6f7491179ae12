//! Messages between the extension in a hg child and the gate (docs/protocols.md, "Push gate").

use protocol::{ChangesetId, CreationId, Digest, Offset, UserName};
use serde::{Deserialize, Serialize};

use crate::ledger::LedgerError;

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
    /// Nodes of the new changesets, as in the record.
    pub nodes: Option<Digest>,
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
    #[serde(rename_all = "camelCase")]
    Ok {
        /// To `open`: the most that a client may send with this push, where a resource says it.
        #[serde(skip_serializing_if = "Option::is_none")]
        largest_push_bytes: Option<u64>,
    },
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
        /// Seconds that recording took.
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

/// The reference's words (facts/hgmo.md, B3 and B4).
const READ_ONLY: [&str; 2] = ["repository is read only", "all repositories currently read only"];
const READ_ONLY_END: &str = "refusing to add changesets";

impl Answer {
    pub const OK: Answer = Answer::Ok { largest_push_bytes: None };

    pub fn refused(error: &LedgerError) -> Answer {
        match error {
            LedgerError::ReadOnly { all, reason } => {
                let lines = [READ_ONLY[usize::from(*all)], reason, READ_ONLY_END];
                Answer::Refuse(lines.map(String::from).to_vec())
            }
            LedgerError::NoSuchRepository(_)
            | LedgerError::Exists(_)
            | LedgerError::Behind { .. }
            | LedgerError::NotAvailable
            | LedgerError::Append(_)
            | LedgerError::OutcomeUnknown(_) => Answer::refuse(error.to_string()),
        }
    }

    pub fn refuse(line: impl Into<String>) -> Answer {
        Answer::Refuse(vec![line.into()])
    }
}
