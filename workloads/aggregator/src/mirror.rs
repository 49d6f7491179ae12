//! Mirror: what is known of one.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::stream::{LaneProgress, Progress};
use protocol::{CreationId, Offset};

use crate::leaving::Leaving;

/// The mirror's own words, latest of its connections.
pub(crate) struct Levels {
    pub applied_through: Offset,
    pub shown_through: Offset,
    pub replication_checkpoint: Offset,
    pub publication_checkpoint: Offset,
    lanes: BTreeMap<CreationId, LaneProgress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Applied,
    Shown,
}

/// One mirror's part in a decision about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    Yes,
    /// In quarantine there: this mirror does not count.
    Abstains,
    NotYet,
}

#[derive(Default)]
pub(crate) struct Mirror {
    pub connected: bool,
    /// Heard on this connection. What it said before may have been lost with its power since.
    pub heard: bool,
    /// When that last changed.
    pub since: Duration,
    /// None: has not said anything since this core began.
    pub levels: Option<Levels>,
    /// Where in the publication log it was last said to be active.
    pub active: Option<Offset>,
    /// Joining: what was released when it became active and is not shown there.
    pub joining: BTreeMap<CreationId, Offset>,
    pub leaving: Option<Leaving>,
    /// Removed: it is no longer part of the installation.
    pub removed: bool,
}

impl From<Progress> for Levels {
    fn from(progress: Progress) -> Levels {
        Levels {
            applied_through: progress.applied_through,
            shown_through: progress.shown_through,
            replication_checkpoint: progress.replication_checkpoint,
            publication_checkpoint: progress.publication_checkpoint,
            lanes: progress.lanes.into_iter().map(|lane| (lane.repository, lane)).collect(),
        }
    }
}

impl Levels {
    fn has(&self, repository: CreationId, offset: Offset, level: Level) -> bool {
        let lane = self.lanes.get(&repository);
        match level {
            Level::Applied => self.applied_through >= offset || lane.is_some_and(|lane| lane.applied >= offset),
            Level::Shown => self.shown_through >= offset || lane.is_some_and(|lane| lane.shown >= offset),
        }
    }

    pub fn quarantined(&self) -> impl Iterator<Item = CreationId> {
        self.lanes.values().filter(|lane| lane.quarantined).map(|lane| lane.repository)
    }
}

impl Mirror {
    pub fn vote(&self, repository: CreationId, offset: Offset, level: Level) -> Vote {
        if self.heard { self.last_word(repository, offset, level) } else { Vote::NotYet }
    }

    /// As it was when it was last heard.
    pub fn last_word(&self, repository: CreationId, offset: Offset, level: Level) -> Vote {
        let Some(levels) = &self.levels else { return Vote::NotYet };
        if levels.lanes.get(&repository).is_some_and(|lane| lane.quarantined) {
            Vote::Abstains
        } else if levels.has(repository, offset, level) {
            Vote::Yes
        } else {
            Vote::NotYet
        }
    }

    /// Clients may be sent there.
    pub fn serves(&self) -> bool {
        self.active.is_some() && self.leaving.is_none() && !self.removed && self.joining.is_empty()
    }

    /// Notes what of the releases before it became active it shows meanwhile.
    pub fn update_joining(&mut self) {
        let mut joining = std::mem::take(&mut self.joining);
        joining.retain(|repository, offset| self.vote(*repository, *offset, Level::Shown) == Vote::NotYet);
        self.joining = joining;
    }
}
