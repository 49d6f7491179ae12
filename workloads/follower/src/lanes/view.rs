//! View of the lanes that others may have: the stream, routes, status and the push gate.

use protocol::stream::{LaneProgress, Progress};
use protocol::{CreationId, Offset, Registry};

use super::lane::{Lane, Phase};
use super::work::Work;
use super::{LaneFacts, Lanes};

/// Why a repository that is there must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    Deleted,
    BecamePrivate,
    /// For the moment until every mirror has hidden it and this one has stripped it.
    Stripping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    pub applied: Offset,
    /// Never more than what was released here.
    pub shown: Offset,
    /// Set aside: requests go to a peer.
    pub quarantined: bool,
    /// A mirror may serve it from its own copy.
    pub routable: bool,
    pub hidden: Option<Hidden>,
    /// Opened: the state is known, and locks of an earlier life are broken.
    pub opened: bool,
    /// Waits for space on the disk.
    pub full: bool,
    /// Records that wait.
    pub pending: usize,
}

impl Lanes {
    /// Everything up to here was taken from the replication log.
    pub fn received(&self) -> Offset {
        self.received
    }

    /// Everything up to here was taken from the publication log.
    pub fn publication_through(&self) -> Offset {
        self.releases.through
    }

    /// Everything received, folded: what routes are made of.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn is_active(&self) -> bool {
        self.readiness.is_active()
    }

    /// For the stream, without checkpoints. None until every repository was looked at once, so that a restart does not
    /// look like a great lag.
    pub fn progress(&self) -> Option<Progress> {
        if self.to_open > 0 {
            return None;
        }
        let lane = |id: CreationId| {
            let mark = self.lanes.get(&id)?.mark?;
            let (applied, shown) = (mark.applied, mark.shown);
            Some(LaneProgress { repository: id, applied, shown, quarantined: mark.quarantined })
        };
        Some(Progress {
            applied_through: self.marks.applied_through(self.received),
            shown_through: self.marks.shown_through(self.received),
            lanes: self.marks.exceptions(self.received).into_iter().filter_map(lane).collect(),
            replication_checkpoint: Offset::ZERO,
            publication_checkpoint: Offset::ZERO,
        })
    }

    /// Lists whose view may have changed since this was last asked: a lane changes with what is received, released and
    /// done.
    pub fn touched(&mut self) -> impl Iterator<Item = CreationId> + use<> {
        std::mem::take(&mut self.touched).into_iter()
    }

    /// None: there is no such repository on this instance.
    pub fn lane(&self, id: CreationId) -> Option<LaneView> {
        self.lanes.get(&id).map(|lane| view(lane, self.received))
    }

    pub fn lanes(&self) -> impl Iterator<Item = (CreationId, LaneView)> {
        self.lanes.iter().map(|(id, lane)| (*id, view(lane, self.received)))
    }

    pub fn quarantined(&self) -> impl Iterator<Item = CreationId> {
        self.marks.quarantined().iter().copied()
    }

    /// Records that are received and not shown, over all lanes.
    pub fn pending(&self) -> usize {
        self.pending_records
    }
}

fn view(lane: &Lane, received: Offset) -> LaneView {
    let hidden = lane.barrier().and_then(|item| match item.work {
        Work::Delete => Some(Hidden::Deleted),
        Work::Withdraw => Some(Hidden::BecamePrivate),
        Work::Strip(_) => Some(Hidden::Stripping),
        Work::Init { .. }
        | Work::Configure { .. }
        | Work::Push(_)
        | Work::Advertise(_)
        | Work::Fetch
        | Work::Pass
        | Work::Nothing
        | Work::Unknown => None,
    });
    let LaneFacts { applied, shown } = lane.reached();
    let follows = matches!(lane.phase, Phase::Open) && !lane.quarantined && hidden.is_none();
    LaneView {
        applied,
        shown: lane.shown(received),
        quarantined: lane.quarantined,
        // Ahead of what was received there may be a record that hides it.
        routable: follows && shown > Offset::ZERO && !lane.is_ahead(received) && applied <= received,
        hidden,
        opened: lane.opened,
        full: lane.fulls > 0,
        pending: lane.queue.len(),
    }
}
