//! Committed records that are not published yet.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{CreationId, Offset, OffsetSet};

use crate::Committed;

type ByRepository = BTreeMap<CreationId, BTreeSet<Offset>>;

#[derive(Default)]
pub(crate) struct Backlog {
    /// The newest committed record of the replication log.
    pub committed: Offset,
    /// Not published, with or without a release.
    waiting: BTreeMap<Offset, Committed>,
    pub unreleased: ByRepository,
    pub unpublished: ByRepository,
    /// Released and not published, with the place of the release in the publication log. Also of records that the
    /// replay of the replication log has not reached.
    released: BTreeMap<Offset, Offset>,
    /// Published ones that the replay of the replication log has not reached.
    early: OffsetSet,
    /// Each repository's newest published record, and whether mirrors have it.
    published: BTreeMap<CreationId, (Offset, bool)>,
}

impl Backlog {
    pub fn new(committed: Offset) -> Backlog {
        Backlog { committed, ..Backlog::default() }
    }

    pub fn commit(&mut self, record: Committed) {
        if record.offset <= self.committed {
            return;
        }
        self.committed = record.offset;
        let Some(repository) = record.repository else { return };
        if self.early.contains(record.offset) {
            self.note_published(record);
        } else {
            self.waiting.insert(record.offset, record);
            self.unpublished.entry(repository).or_default().insert(record.offset);
            if !self.released.contains_key(&record.offset) {
                self.unreleased.entry(repository).or_default().insert(record.offset);
            }
        }
        self.early.remove_through(record.offset);
    }

    pub fn release(&mut self, offset: Offset, place: Offset) {
        let waits = self.waiting.get(&offset);
        if waits.is_none() && offset <= self.committed {
            return;
        }
        self.released.entry(offset).or_insert(place);
        if let Some(repository) = waits.and_then(|record| record.repository) {
            remove(&mut self.unreleased, repository, offset);
        }
    }

    pub fn publish(&mut self, offset: Offset) {
        self.released.remove(&offset);
        if offset > self.committed {
            self.early.insert(offset);
        }
        let Some(record) = self.waiting.remove(&offset) else { return };
        if let Some(repository) = record.repository {
            remove(&mut self.unpublished, repository, offset);
            remove(&mut self.unreleased, repository, offset);
        }
        self.note_published(record);
    }

    fn note_published(&mut self, record: Committed) {
        let Some(repository) = record.repository else { return };
        if record.last {
            self.published.remove(&repository);
        } else {
            self.published.insert(repository, (record.offset, record.public));
        }
    }

    pub fn get(&self, offset: Offset) -> Option<&Committed> {
        self.waiting.get(&offset)
    }

    pub fn is_released(&self, offset: Offset) -> bool {
        self.released.contains_key(&offset)
    }

    /// Everything up to here is published.
    pub fn published_through(&self) -> Offset {
        self.waiting.first_key_value().map_or(self.committed, |(offset, _)| offset.previous())
    }

    pub fn published(&self, repository: CreationId) -> Option<Offset> {
        let seen = self.published.get(&repository).map(|(offset, _)| *offset);
        // What comes before the first that waits was published before anything here was seen.
        let first = || self.unpublished.get(&repository)?.first();
        seen.or_else(|| self.waiting.get(first()?).map(|record| record.before))
    }

    pub fn after(&self, through: Offset) -> impl Iterator<Item = &Committed> {
        self.waiting.range(through.next()..).map(|(_, record)| record)
    }

    /// Place of the oldest release that a restart must read again.
    pub fn first_release(&self) -> Option<Offset> {
        self.released.values().min().copied()
    }

    /// Per repository on mirrors the newest record that was released.
    pub fn newest_released(&self) -> BTreeMap<CreationId, Offset> {
        let published = self.published.iter().filter(|(_, (_, public))| *public);
        let mut newest: BTreeMap<CreationId, Offset> = published.map(|(id, (offset, _))| (*id, *offset)).collect();
        for offset in self.released.keys() {
            if let Some(Committed { repository: Some(repository), public: true, .. }) = self.waiting.get(offset) {
                newest.insert(*repository, *offset);
            }
        }
        newest
    }
}

fn remove(lanes: &mut ByRepository, repository: CreationId, offset: Offset) {
    if let Some(offsets) = lanes.get_mut(&repository) {
        offsets.remove(&offset);
        if offsets.is_empty() {
            lanes.remove(&repository);
        }
    }
}
