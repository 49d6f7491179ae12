//! Request of a lane to a worker, and its answer (`docs/protocols.md`, "Lane requests").

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use protocol::{BookmarkMove, ChangesetId, Digest, Offset, Payload, Push, PushId, RepositoryPath, RepositorySettings};
use serde::{Deserialize, Serialize};

/// One request about the repository in `directory`. All are idempotent by offset.
#[derive(Clone, Debug)]
pub struct Request {
    pub directory: PathBuf,
    pub operation: Operation,
}

/// `hidden`: stored, not shown yet (mirrors only).
#[derive(Clone, Debug)]
pub enum Operation {
    Init { offset: Offset, settings: RepositorySettings, path: RepositoryPath, hidden: bool },
    Configure { offset: Offset, settings: RepositorySettings, path: RepositoryPath, hidden: bool },
    Apply { offset: Offset, push: PushRequest, hidden: bool },
    Show { offset: Offset, push: PushRequest },
    Strip { offset: Offset, changesets: Vec<ChangesetId> },
    Recover { break_locks: bool },
    Reinstate,
    State,
    Snapshot { file: PathBuf },
    Skip { offset: Offset, hidden: bool },
}

/// Bytes that go with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytestring {
    Inline(Bytes),
    File(PathBuf),
}

#[derive(Clone, Debug)]
pub struct PushRequest {
    pub push_id: Option<PushId>,
    pub user: String,
    /// Seconds since 1970.
    pub time: u64,
    pub bundle: Option<Bytestring>,
    /// How many the bundle adds.
    pub changesets: u64,
    /// Nodes of all changesets, as in the record.
    pub nodes: Option<Digest>,
    pub tip: Option<ChangesetId>,
    pub bookmarks: Vec<BookmarkMove>,
    pub published: Vec<ChangesetId>,
    pub markers: Option<Bytestring>,
}

impl PushRequest {
    /// `blob` says where the blob of a digest lies.
    pub fn of(push: &Push, blob: impl Fn(&Digest) -> PathBuf) -> PushRequest {
        let bytes = |payload: &Payload| match payload {
            Payload::Inline(bytes) => Bytestring::Inline(Bytes::copy_from_slice(bytes)),
            Payload::Blob { digest, .. } => Bytestring::File(blob(digest)),
        };
        PushRequest {
            push_id: push.push_id,
            user: push.user.to_string(),
            time: push.time.seconds(),
            bundle: push.bundle.as_ref().map(bytes),
            changesets: push.changesets,
            nodes: push.nodes,
            tip: push.tip,
            bookmarks: push.bookmarks.clone(),
            published: push.published.clone(),
            markers: push.markers.as_ref().map(bytes),
        }
    }
}

/// The state file's object, with what is visible where that may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneState {
    pub applied: Offset,
    pub applied_revisions: u64,
    pub shown: Offset,
    pub shown_revisions: u64,
    #[serde(flatten)]
    pub visible: Option<Visible>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Visible {
    pub tip: Option<ChangesetId>,
    pub heads: u64,
    pub changesets: u64,
}

/// SHA-256 of each part of what is shown, for comparing instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentHashes {
    /// The record up to which they hold.
    pub at: Offset,
    pub heads: Digest,
    pub phases: Digest,
    pub bookmarks: Digest,
    pub markers: Digest,
    pub pushlog: Digest,
}

/// Integrity: what is wrong with what a repository has stored, if anything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Integrity {
    pub damage: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "op")]
enum Wire<'a> {
    Init(#[serde(borrow)] Setup<'a>),
    Configure(Setup<'a>),
    Apply {
        offset: Offset,
        push: WirePush<'a>,
        hidden: bool,
    },
    Show {
        offset: Offset,
        push: WirePush<'a>,
    },
    Strip {
        offset: Offset,
        changesets: &'a [ChangesetId],
    },
    #[serde(rename_all = "camelCase")]
    Recover {
        break_locks: bool,
    },
    Reinstate,
    State,
    Hash {
        at: Option<Offset>,
    },
    Integrity,
    Snapshot {
        file: &'a Path,
    },
    Skip {
        offset: Offset,
        hidden: bool,
    },
}

#[derive(Serialize)]
struct Setup<'a> {
    offset: Offset,
    settings: &'a RepositorySettings,
    path: &'a RepositoryPath,
    hidden: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePush<'a> {
    push_id: Option<PushId>,
    user: &'a str,
    time: u64,
    bundle: Option<Place<'a>>,
    changesets: u64,
    nodes: Option<Digest>,
    tip: Option<ChangesetId>,
    bookmarks: Vec<(&'a str, Option<ChangesetId>, Option<ChangesetId>)>,
    published: &'a [ChangesetId],
    markers: Option<Place<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Place<'a> {
    Inline(usize),
    File(&'a Path),
}

#[derive(Serialize)]
struct Envelope<'a> {
    directory: &'a Path,
    #[serde(flatten)]
    wire: Wire<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    body: usize,
}

fn is_zero(length: &usize) -> bool {
    *length == 0
}

impl Request {
    pub(crate) fn frame(&self) -> std::io::Result<crate::frame::Frame> {
        let body = self.operation.body();
        let envelope = Envelope { directory: &self.directory, wire: self.operation.wire(), body: body.len() };
        crate::frame::Frame::new(&envelope, body)
    }
}

pub(crate) fn hash_frame(directory: &Path, at: Option<Offset>) -> std::io::Result<crate::frame::Frame> {
    crate::frame::Frame::new(&Envelope { directory, wire: Wire::Hash { at }, body: 0 }, Bytes::new())
}

pub(crate) fn integrity_frame(directory: &Path) -> std::io::Result<crate::frame::Frame> {
    crate::frame::Frame::new(&Envelope { directory, wire: Wire::Integrity, body: 0 }, Bytes::new())
}

impl Operation {
    fn wire(&self) -> Wire<'_> {
        match self {
            Operation::Init { offset, settings, path, hidden } => {
                Wire::Init(Setup { offset: *offset, settings, path, hidden: *hidden })
            }
            Operation::Configure { offset, settings, path, hidden } => {
                Wire::Configure(Setup { offset: *offset, settings, path, hidden: *hidden })
            }
            Operation::Apply { offset, push, hidden } => {
                Wire::Apply { offset: *offset, push: push.wire(), hidden: *hidden }
            }
            Operation::Show { offset, push } => Wire::Show { offset: *offset, push: push.wire() },
            Operation::Strip { offset, changesets } => Wire::Strip { offset: *offset, changesets },
            Operation::Recover { break_locks } => Wire::Recover { break_locks: *break_locks },
            Operation::Reinstate => Wire::Reinstate,
            Operation::State => Wire::State,
            Operation::Snapshot { file } => Wire::Snapshot { file },
            Operation::Skip { offset, hidden } => Wire::Skip { offset: *offset, hidden: *hidden },
        }
    }

    /// The bundle's bytes, then the markers'.
    fn body(&self) -> Bytes {
        let (Operation::Apply { push, .. } | Operation::Show { push, .. }) = self else { return Bytes::new() };
        match (&push.bundle, &push.markers) {
            (Some(Bytestring::Inline(bundle)), Some(Bytestring::Inline(markers))) => {
                let mut both = BytesMut::with_capacity(bundle.len() + markers.len());
                both.extend_from_slice(bundle);
                both.extend_from_slice(markers);
                both.freeze()
            }
            (Some(Bytestring::Inline(one)), _) | (_, Some(Bytestring::Inline(one))) => one.clone(),
            _ => Bytes::new(),
        }
    }
}

impl PushRequest {
    fn wire(&self) -> WirePush<'_> {
        WirePush {
            push_id: self.push_id,
            user: &self.user,
            time: self.time,
            bundle: self.bundle.as_ref().map(Bytestring::place),
            changesets: self.changesets,
            nodes: self.nodes,
            tip: self.tip,
            bookmarks: self.bookmarks.iter().map(|b| (b.name.as_str(), b.old, b.new)).collect(),
            published: &self.published,
            markers: self.markers.as_ref().map(Bytestring::place),
        }
    }
}

impl Bytestring {
    fn place(&self) -> Place<'_> {
        match self {
            Bytestring::Inline(bytes) => Place::Inline(bytes.len()),
            Bytestring::File(path) => Place::File(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_the_contract_says() {
        let push = PushRequest {
            push_id: Some(PushId(3)),
            user: "u".into(),
            time: 5,
            bundle: Some(Bytestring::Inline(Bytes::from_static(b"HG20"))),
            changesets: 1,
            nodes: Some(Digest([3; 32])),
            tip: Some(ChangesetId([1; 20])),
            bookmarks: vec![BookmarkMove { name: "b".into(), old: None, new: Some(ChangesetId([2; 20])) }],
            published: vec![],
            markers: Some(Bytestring::File("/m".into())),
        };
        let operation = Operation::Apply { offset: Offset(17), push, hidden: true };
        let frame = Request { directory: "/d".into(), operation }.frame().unwrap();
        let written: serde_json::Value = frame.parse().unwrap();
        let expected = serde_json::json!({
            "op": "apply", "directory": "/d", "offset": 17, "hidden": true, "body": 4,
            "push": {"pushId": 3, "user": "u", "time": 5, "bundle": {"inline": 4},
                "changesets": 1, "nodes": "03".repeat(32), "tip": "01".repeat(20),
                "bookmarks": [["b", null, "02".repeat(20)]], "published": [], "markers": {"file": "/m"}},
        });
        assert_eq!(written, expected);
        assert_eq!(&frame.body[..], b"HG20");
        let recover = Request { directory: "/d".into(), operation: Operation::Recover { break_locks: true } };
        let written: serde_json::Value = recover.frame().unwrap().parse().unwrap();
        assert_eq!(written, serde_json::json!({"op": "recover", "directory": "/d", "breakLocks": true}));
        let written: serde_json::Value = hash_frame(Path::new("/d"), None).unwrap().parse().unwrap();
        assert_eq!(written, serde_json::json!({"op": "hash", "directory": "/d", "at": null}));
    }
}
