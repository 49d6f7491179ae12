//! Publication: what comes in from that log, and what of it is remembered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{CreationId, Offset, OffsetSet, Record};

use super::{Gap, Lanes};

pub(super) struct Releases {
    /// Everything up to this place of the publication log has been taken.
    pub through: Offset,
    /// Released records that have not been received.
    pub early: OffsetSet,
    /// Received records that have not been released.
    unreleased: BTreeMap<Offset, CreationId>,
    /// Places of the publication log with the newest record that was released there.
    recent: VecDeque<(Offset, Offset)>,
}

impl Releases {
    pub fn new(through: Offset) -> Releases {
        Releases { through, early: OffsetSet::default(), unreleased: BTreeMap::new(), recent: VecDeque::new() }
    }

    pub fn is_early(&self, offset: Offset) -> bool {
        self.early.contains(offset)
    }

    pub fn wait_for(&mut self, id: CreationId, offsets: &[Offset]) {
        self.unreleased.extend(offsets.iter().map(|offset| (*offset, id)));
    }

    pub fn received(&mut self, offset: Offset) {
        self.early.remove_through(offset);
    }

    pub fn forget(&mut self, offsets: BTreeSet<Offset>) {
        for offset in offsets {
            self.unreleased.remove(&offset);
        }
    }

    pub fn unreleased_through(&self, through: Offset) -> BTreeMap<CreationId, Vec<Offset>> {
        let mut lanes: BTreeMap<CreationId, Vec<Offset>> = BTreeMap::new();
        for (offset, id) in self.unreleased.range(..=through) {
            lanes.entry(*id).or_default().push(*offset);
        }
        lanes
    }

    /// Where to begin again with the publication log when the replication log is begun again after `replication`:
    /// before the first release of a record after it.
    pub fn restart(&mut self, replication: Offset) -> Offset {
        while self.recent.front().is_some_and(|(_, newest)| *newest <= replication) {
            self.recent.pop_front();
        }
        self.recent.front().map_or(self.through, |(place, _)| place.previous())
    }
}

impl Lanes {
    /// Takes the next committed entry of the publication log; one that was taken before changes nothing.
    pub fn publication(&mut self, place: Offset, record: &Record) -> Result<(), Gap> {
        let expected = self.releases.through.next();
        if place < expected {
            return Ok(());
        }
        if place != expected {
            return Err(Gap { expected, got: place });
        }
        self.releases.through = place;
        match record {
            Record::Released(released) => self.released(place, &released.offsets),
            Record::MirrorActive(active) if active.mirror == self.options.name => self.readiness.activate(place),
            Record::MirrorInactive(inactive) if inactive.mirror == self.options.name => self.readiness.deactivate(),
            Record::MirrorActive(_)
            | Record::MirrorInactive(_)
            | Record::Published(_)
            | Record::GenerationStarted(_)
            | Record::RepositoryCreated(_)
            | Record::RepositoryUpdated(_)
            | Record::RepositoryDeleted(_)
            | Record::Push(_)
            | Record::Strip(_)
            | Record::CloneBundlesChanged(_)
            | Record::Skip(_)
            | Record::SettingsChanged(_)
            | Record::Unknown(_) => {}
        }
        Ok(())
    }

    fn released(&mut self, place: Offset, offsets: &[Offset]) {
        let mut touched = BTreeSet::new();
        for offset in offsets {
            if *offset > self.received {
                self.releases.early.insert(*offset);
            }
            let Some(id) = self.releases.unreleased.remove(offset) else { continue };
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.unreleased.remove(offset);
                touched.insert(id);
            }
        }
        if let Some(newest) = offsets.iter().max() {
            self.releases.recent.push_back((place, *newest));
        }
        touched.into_iter().for_each(|id| self.touch(id));
        self.settle();
    }
}
