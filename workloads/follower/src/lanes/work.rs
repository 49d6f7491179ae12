//! Work: what a record means for its lane, decided when it arrives, from the registry before and after it.

use std::sync::Arc;

use protocol::{ChangesetId, Payload, Push, Record, Repository, RepositoryFormat, RepositoryPath, RepositorySettings};

use super::Mode;

/// Record without a payload costs this much in memory, roughly.
const RECORD_BYTES: usize = 256;

#[derive(Clone, Debug)]
pub(super) enum Work {
    Init {
        path: RepositoryPath,
        format: RepositoryFormat,
        settings: Arc<RepositorySettings>,
    },
    Configure {
        path: RepositoryPath,
        settings: Arc<RepositorySettings>,
    },
    Push(Arc<Push>),
    Strip(Arc<[ChangesetId]>),
    Advertise(Arc<str>),
    Delete,
    /// A mirror's repository became private: it is removed, and its lane with it.
    Withdraw,
    /// A private repository became public: a mirror fetches it.
    Fetch,
    /// Given up, or what says so of another record: only the state moves on.
    Pass,
    /// Nothing to do here: a record of a private repository.
    Nothing,
    Unknown,
}

impl Work {
    /// None: no lane is concerned, and the record counts as applied and shown at once.
    pub fn of(mode: Mode, record: &Record, before: Option<&Repository>, after: Option<&Repository>) -> Option<Work> {
        let here = |r: Option<&Repository>| r.is_some_and(|r| mode == Mode::Direct || r.is_public());
        let unless_private = |work: Work| if here(before) { work } else { Work::Nothing };
        match record {
            Record::RepositoryCreated(created) => after.map(|_| match here(after) {
                true => Work::Init {
                    path: created.path.clone(),
                    format: created.format,
                    settings: Arc::new(created.settings.clone()),
                },
                false => Work::Nothing,
            }),
            Record::RepositoryUpdated(_) => after.map(|repository| match (here(before), here(after)) {
                (true, true) => {
                    Work::Configure { path: repository.path.clone(), settings: Arc::new(repository.settings.clone()) }
                }
                (true, false) => Work::Withdraw,
                (false, true) => Work::Fetch,
                (false, false) => Work::Nothing,
            }),
            Record::RepositoryDeleted(_) => before.map(|_| unless_private(Work::Delete)),
            Record::Skip(_) => before.map(|_| unless_private(Work::Pass)),
            Record::Push(push) => before.map(|_| unless_private(Work::Push(Arc::new(push.clone())))),
            Record::Strip(strip) => before.map(|_| unless_private(Work::Strip(strip.changesets.as_slice().into()))),
            Record::CloneBundlesChanged(changed) => {
                before.map(|_| unless_private(Work::Advertise(changed.manifest.as_str().into())))
            }
            Record::Unknown(_) => Some(match before {
                Some(_) => unless_private(Work::Unknown),
                None => Work::Unknown,
            }),
            Record::GenerationStarted(_)
            | Record::Released(_)
            | Record::Published(_)
            | Record::SettingsChanged(_)
            | Record::MirrorActive(_)
            | Record::MirrorInactive(_) => None,
        }
    }

    /// Answers whether what comes after it in the lane waits until it is shown.
    pub fn is_barrier(&self) -> bool {
        match self {
            Work::Strip(_) | Work::Delete | Work::Withdraw => true,
            Work::Init { .. }
            | Work::Configure { .. }
            | Work::Push(_)
            | Work::Advertise(_)
            | Work::Fetch
            | Work::Pass
            | Work::Nothing
            | Work::Unknown => false,
        }
    }

    /// Answers whether it says how the repository is to be from now on, whatever is in it: it may be done late, and
    /// again.
    pub fn sets_up(&self) -> bool {
        match self {
            Work::Configure { .. } | Work::Advertise(_) => true,
            Work::Init { .. }
            | Work::Push(_)
            | Work::Strip(_)
            | Work::Delete
            | Work::Withdraw
            | Work::Fetch
            | Work::Pass
            | Work::Nothing
            | Work::Unknown => false,
        }
    }

    /// After it nothing that came before matters.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Work::Delete | Work::Withdraw)
    }

    /// A mirror has nothing to prepare for it before it is shown.
    pub fn needs_no_apply(&self) -> bool {
        matches!(self, Work::Configure { .. } | Work::Advertise(_) | Work::Nothing)
    }

    pub fn bytes(&self) -> usize {
        let payload = |payload: &Option<Payload>| match payload {
            Some(Payload::Inline(bytes)) => bytes.len(),
            Some(Payload::Blob { .. }) | None => 0,
        };
        RECORD_BYTES
            + match self {
                Work::Push(push) => payload(&push.bundle) + payload(&push.markers),
                Work::Strip(changesets) => changesets.len() * 20,
                Work::Advertise(manifest) => manifest.len(),
                Work::Init { .. }
                | Work::Configure { .. }
                | Work::Delete
                | Work::Withdraw
                | Work::Fetch
                | Work::Pass
                | Work::Nothing
                | Work::Unknown => 0,
            }
    }

    /// Once applied, only the rest of a push is needed to show it.
    pub fn drop_bundle(&mut self) {
        if let Work::Push(push) = self
            && push.bundle.is_some()
        {
            *push = Arc::new(Push { bundle: None, ..Push::clone(push) });
        }
    }
}

/// The record without what the registry does not read.
pub(super) fn without_payload(record: &Record) -> Record {
    match record {
        Record::Push(push) => Record::Push(push_without_payload(push)),
        Record::CloneBundlesChanged(changed) => Record::CloneBundlesChanged(protocol::record::CloneBundlesChanged {
            repository: changed.repository,
            manifest: String::new(),
        }),
        Record::GenerationStarted(_)
        | Record::RepositoryCreated(_)
        | Record::RepositoryUpdated(_)
        | Record::RepositoryDeleted(_)
        | Record::Strip(_)
        | Record::Skip(_)
        | Record::Released(_)
        | Record::Published(_)
        | Record::SettingsChanged(_)
        | Record::MirrorActive(_)
        | Record::MirrorInactive(_)
        | Record::Unknown(_) => record.clone(),
    }
}

fn push_without_payload(push: &Push) -> Push {
    Push {
        repository: push.repository,
        push_id: push.push_id,
        user: push.user.clone(),
        time: push.time,
        bundle: None,
        changesets: push.changesets,
        tip: push.tip,
        heads_added: Vec::new(),
        heads_removed: Vec::new(),
        heads: push.heads,
        bookmarks: Vec::new(),
        published: Vec::new(),
        markers: None,
        nodes: None,
    }
}
