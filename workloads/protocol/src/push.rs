//! The one record of a push: everything an instance needs to repeat it.

use minicbor::{Decode, Encode};

use crate::{ChangesetId, CreationId, Digest, PushId, Timestamp, UserName};

/// Bundles and marker sets up to this size travel inside the record; larger ones are blobs named by digest.
pub const MAX_INLINE_BYTES: usize = 64 * 1024;

/// Bytes that belong to a record.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum Payload {
    #[n(0)]
    Inline(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    #[n(1)]
    Blob {
        #[n(0)]
        digest: Digest,
        /// In bytes.
        #[n(1)]
        size: u64,
    },
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::Inline(bytes) => write!(f, "inline of {} bytes", bytes.len()),
            Payload::Blob { digest, size } => write!(f, "blob {digest} of {size} bytes"),
        }
    }
}

/// Obsolescence markers in Mercurial's binary form (`hg help internals.obsolescence`... `obsolete.encodemarkers`),
/// with the version byte in front, as in `.hg/store/obsstore`.
pub type Markers = Payload;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BookmarkMove {
    #[n(0)]
    pub name: String,
    /// None: the bookmark is new.
    #[n(1)]
    pub old: Option<ChangesetId>,
    /// None: the bookmark is deleted.
    #[n(2)]
    pub new: Option<ChangesetId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Push {
    #[n(0)]
    pub repository: CreationId,
    /// The pushlog row that this push makes; None when it brings no changesets (bookmarks, phases or markers only).
    #[n(1)]
    pub push_id: Option<PushId>,
    #[n(2)]
    pub user: UserName,
    #[n(3)]
    pub time: Timestamp,
    /// An uncompressed bundle2 (`HG20`) with one changegroup part of the new changesets; None when there are none.
    #[n(4)]
    pub bundle: Option<Payload>,
    /// How many changesets the bundle adds.
    #[n(5)]
    pub changesets: u64,
    /// The last changeset added, for status and notifications.
    #[n(6)]
    pub tip: Option<ChangesetId>,
    /// Visible (`served`) heads that the push made and removed; heads before are heads after - added + removed.
    #[n(7)]
    pub heads_added: Vec<ChangesetId>,
    #[n(8)]
    pub heads_removed: Vec<ChangesetId>,
    /// How many visible heads there are afterwards.
    #[n(9)]
    pub heads: u64,
    #[n(10)]
    pub bookmarks: Vec<BookmarkMove>,
    /// Heads of what became public: they and their ancestors are public afterwards.
    #[n(11)]
    pub published: Vec<ChangesetId>,
    #[n(12)]
    pub markers: Option<Markers>,
    /// SHA-256 of the hashes, 20 bytes each, of the changesets that the bundle adds, in the order of their revisions.
    /// None: there are none, or an older version recorded it.
    #[n(13)]
    pub nodes: Option<Digest>,
}
