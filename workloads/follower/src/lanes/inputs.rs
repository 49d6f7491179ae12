//! Inputs from the replication log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{CreationId, Offset, Record, Registry, RegistryError};

use super::lane::{Lane, Phase};
use super::work::{Work, without_payload};
use super::{Checkpoint, Gap, Lanes, Mode, Options, Origin};

/// `RepositoryCreated` in the log; of a version that is unknown here, its offset still names the repository.
const CREATED_KIND: u8 = 128;

impl Lanes {
    /// The first record wanted is the one after `start.replication`, the first publication after `start.publication`.
    pub fn new(options: Options, start: Checkpoint, origin: Origin) -> Lanes {
        let mode = options.mode;
        let mut lanes = Lanes {
            options,
            origin,
            settled: start.registry.clone(),
            unsettled: VecDeque::new(),
            received: start.replication,
            lanes: BTreeMap::new(),
            marks: super::marks::Marks::default(),
            queues: super::queues::Queues::default(),
            releases: super::publication::Releases::new(start.publication),
            readiness: super::readiness::Readiness::new(start.active),
            pending_records: 0,
            pending_bytes: 0,
            to_open: 0,
            touched: BTreeSet::new(),
            registry: Registry::default(),
        };
        for repository in start.registry.iter().filter(|r| mode == Mode::Direct || r.is_public()) {
            let mut lane = Lane::new(mode, Phase::Unopened, repository.last);
            lane.awaited = true;
            lanes.to_open += 1;
            if let (Mode::TwoStep, Some(offsets)) = (mode, start.unreleased.get(&repository.id)) {
                lane.unreleased.extend(offsets.iter().copied());
                lanes.releases.wait_for(repository.id, offsets);
            }
            lanes.lanes.insert(repository.id, lane);
        }
        lanes.registry = start.registry;
        let ids: Vec<CreationId> = lanes.lanes.keys().copied().collect();
        ids.into_iter().for_each(|id| lanes.touch(id));
        lanes
    }

    /// Lists leftovers: of the repositories found on the disk at the start, those that nobody will ask for. They ended
    /// while this instance knew nothing of it. Their folders must be removed before the first action.
    pub fn leftovers(&self, found: impl IntoIterator<Item = CreationId>) -> Vec<CreationId> {
        found.into_iter().filter(|id| id.0 <= self.received.0 && !self.lanes.contains_key(id)).collect()
    }

    /// Takes the next committed record; one that was taken before changes nothing. A registry error means that every
    /// instance ignores this record; it is for the log file.
    pub fn committed(&mut self, offset: Offset, record: &Record) -> Result<Option<RegistryError>, Gap> {
        if offset <= self.received {
            return Ok(None);
        }
        if offset != self.received.next() {
            return Err(Gap { expected: self.received.next(), got: offset });
        }
        let id = lane_of(offset, record);
        let before = id.and_then(|id| self.registry.get(id)).cloned();
        let error = self.registry.apply(offset, record).err();
        let after = id.and_then(|id| self.registry.get(id));
        let mut work = Work::of(self.options.mode, record, before.as_ref(), after);
        if error.is_some() && !matches!(work, Some(Work::Unknown)) {
            work = None;
        }
        self.unsettled.push_back((offset, without_payload(record)));
        self.received = offset;
        if let (Some(id), Some(work)) = (id, work) {
            self.enqueue(id, offset, work);
        }
        if let (Record::Skip(skip), None) = (record, &error) {
            self.give_up(skip.repository, skip.offset);
        }
        self.releases.received(offset);
        self.settle();
        Ok(error)
    }

    fn enqueue(&mut self, id: CreationId, offset: Offset, work: Work) {
        let phase = match work {
            Work::Nothing if !self.lanes.contains_key(&id) => return,
            Work::Fetch => Phase::Absent,
            Work::Init { .. }
            | Work::Configure { .. }
            | Work::Push(_)
            | Work::Strip(_)
            | Work::Advertise(_)
            | Work::Delete
            | Work::Withdraw
            | Work::Pass
            | Work::Nothing
            | Work::Unknown => Phase::Unopened,
        };
        let mode = self.options.mode;
        let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(mode, phase, Offset::ZERO));
        if lane.behind.is_some() {
            lane.pass_by(offset, work);
            return self.touch(id);
        }
        let waits = mode == Mode::TwoStep && !matches!(work, Work::Nothing);
        if waits && !self.releases.is_early(offset) {
            lane.unreleased.insert(offset);
            self.releases.wait_for(id, &[offset]);
        }
        lane.push(offset, work);
        self.touch(id);
        self.relieve(id);
    }

    /// The lane stands before a record that a person has given up.
    fn give_up(&mut self, id: CreationId, offset: Offset) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.give_up(offset);
            self.touch(id);
        }
    }

    /// True: the stream may deliver more records now. The publication log must always be delivered, since it is what
    /// makes room.
    pub fn room(&self) -> bool {
        self.pending_records < self.options.max_pending_records
            && self.pending_bytes < self.options.max_pending_bytes
            && self.unsettled.len() < self.options.max_unsettled_records
    }

    /// Drops what waits for a lane that makes no progress, before it is in the way of the others.
    fn relieve(&mut self, newest: CreationId) {
        let over = self.lanes.get(&newest).is_some_and(|lane| {
            lane.queue.len() > self.options.max_stuck_records || lane.bytes > self.options.max_stuck_bytes
        });
        if over {
            self.drop_queue(newest);
        }
        if self.pending_records >= self.options.max_pending_records
            || self.pending_bytes >= self.options.max_pending_bytes
        {
            let stuck = self.lanes.iter().filter(|(_, lane)| lane.is_stuck());
            if let Some((id, _)) = stuck.max_by_key(|(_, lane)| (lane.bytes, lane.queue.len())) {
                self.drop_queue(*id);
            }
        }
    }

    fn drop_queue(&mut self, id: CreationId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.is_stuck()
            && !lane.queue.iter().any(|item| item.work.is_terminal())
        {
            lane.drop_queue(id);
            self.touch(id);
        }
    }

    /// Sets a lane aside and fetches it from a peer: its content was found to differ from the master's, or something
    /// was applied that the log has lost.
    pub fn resync(&mut self, id: CreationId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if !matches!(lane.phase, Phase::Parked | Phase::Absent) {
            lane.fetch(id, true);
            self.touch(id);
        }
    }
}

fn lane_of(offset: Offset, record: &Record) -> Option<CreationId> {
    match record {
        Record::Unknown(unknown) if unknown.kind == CREATED_KIND => Some(CreationId(offset.0)),
        Record::Unknown(_)
        | Record::GenerationStarted(_)
        | Record::RepositoryCreated(_)
        | Record::RepositoryUpdated(_)
        | Record::RepositoryDeleted(_)
        | Record::Push(_)
        | Record::Strip(_)
        | Record::CloneBundlesChanged(_)
        | Record::Released(_)
        | Record::Published(_)
        | Record::Skip(_)
        | Record::SettingsChanged(_)
        | Record::MirrorActive(_)
        | Record::MirrorInactive(_) => record.repository(offset),
    }
}
