//! View that others may have: the balancer, status, retention and newcomers.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::status::MirrorState;
use protocol::{CreationId, InstanceName, Offset, PerLog};

use crate::core::Core;
use crate::lag::lag;
use crate::mirror::Mirror;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorView {
    pub name: InstanceName,
    pub state: MirrorState,
    pub applied: Offset,
    pub shown: Offset,
    pub lag_records: u64,
    pub lag: Duration,
    /// Clients may be sent there.
    pub serves: bool,
    pub quarantined: Vec<CreationId>,
}

impl Core {
    /// The mirrors that the balancer should use, by name.
    pub fn desired(&self) -> Vec<InstanceName> {
        self.mirrors.iter().filter(|(_, mirror)| mirror.serves()).map(|(name, _)| name.clone()).collect()
    }

    /// Those that release and publication wait for.
    pub fn active(&self) -> Vec<InstanceName> {
        self.mirrors.iter().filter(|(_, mirror)| mirror.active.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// An active mirror is late and stays, since fewer than `min_active` would be left.
    pub fn at_floor(&self) -> bool {
        self.at_floor
    }

    /// Every record of the replication log up to here is published.
    pub fn published_through(&self) -> Offset {
        self.backlog.published_through()
    }

    /// Answers whose this record is; None: nobody's, or it is published, or not taken yet.
    pub fn repository_of(&self, record: Offset) -> Option<CreationId> {
        self.backlog.get(record)?.repository
    }

    /// The repository's newest published record, zero when there is none yet. None: all that it has was published
    /// before anything that this core has seen.
    pub fn published(&self, repository: CreationId) -> Option<Offset> {
        self.backlog.published(repository)
    }

    /// How much of the two logs this core has taken; what `unreleased` is true of.
    pub fn position(&self) -> (Offset, Offset) {
        (self.backlog.committed, self.publication)
    }

    /// Answers what a mirror that connects now must be told as the publication log's end (`Welcome`): also the batch
    /// under way was decided without it, or by what it said before it lost its power.
    pub fn welcome(&self) -> Offset {
        Offset(self.publication.0 + self.in_flight.len() as u64)
    }

    /// Committed records that are not released: part of a newcomer's snapshot.
    pub fn unreleased(&self) -> BTreeMap<CreationId, Vec<Offset>> {
        let lanes = self.backlog.unreleased.iter();
        lanes.map(|(id, offsets)| (*id, offsets.iter().copied().collect())).collect()
    }

    pub fn retention(&self) -> PerLog<Offset> {
        let (mut replication, mut publication) = (self.published_through(), self.publication);
        for mirror in self.mirrors.values() {
            let Some(place) = mirror.active else { continue };
            let levels = mirror.levels.as_ref();
            replication = replication.min(levels.map_or(Offset::ZERO, |levels| levels.replication_checkpoint));
            publication = publication.min(levels.map_or(Offset::ZERO, |levels| levels.publication_checkpoint));
            publication = publication.min(place.previous());
        }
        if let Some(release) = self.backlog.first_release() {
            publication = publication.min(release.previous());
        }
        PerLog { replication, publication }
    }

    pub fn mirrors(&self) -> Vec<MirrorView> {
        self.mirrors.iter().map(|(name, mirror)| self.view(name, mirror)).collect()
    }

    fn view(&self, name: &InstanceName, mirror: &Mirror) -> MirrorView {
        let lag = lag(mirror, &self.backlog, &self.commits, self.now);
        let behind = lag.records > self.options.max_lag_records || lag.time > self.options.max_lag;
        let levels = mirror.levels.as_ref();
        let silent = !mirror.connected && self.now.saturating_sub(mirror.since) > self.options.unreachable_after;
        let state = match (silent, mirror.active, levels) {
            (true, _, _) => MirrorState::Unreachable,
            (false, Some(_), _) if behind || mirror.leaving.is_some() => MirrorState::Lagging,
            (false, Some(_), _) => MirrorState::Active,
            (false, None, Some(levels)) if levels.shown_through > Offset::ZERO => MirrorState::CatchingUp,
            (false, None, _) => MirrorState::Bootstrapping,
        };
        MirrorView {
            name: name.clone(),
            state,
            applied: levels.map_or(Offset::ZERO, |levels| levels.applied_through),
            shown: levels.map_or(Offset::ZERO, |levels| levels.shown_through),
            lag_records: lag.records,
            lag: lag.time,
            serves: mirror.serves(),
            quarantined: levels.map(|levels| levels.quarantined().collect()).unwrap_or_default(),
        }
    }
}
