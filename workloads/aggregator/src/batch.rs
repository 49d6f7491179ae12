//! The next records of the publication log.

use std::collections::BTreeSet;

use protocol::record::{MirrorActive, MirrorInactive, Offsets};
use protocol::{CreationId, InstanceName, Offset, Record};

use crate::core::Core;
use crate::lag::lag;
use crate::mirror::{Level, Vote};

/// Agreement of those who have to do with a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agreement {
    /// No active mirror, or a private repository: nobody to wait for.
    Nobody,
    All,
    NotYet,
}

impl Core {
    /// Records to append to the publication log, in this order and at once; None while a batch is under way, or when
    /// there is nothing to say. They count when they come back through `publication`.
    pub fn batch(&mut self) -> Option<Vec<Record>> {
        if !self.in_flight.is_empty() || !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut records = Vec::new();
        for (mirror, reason) in self.gone() {
            records.push(Record::MirrorInactive(MirrorInactive { mirror, reason }));
        }
        let released = self.to_release();
        let published = self.to_publish(&released);
        let offsets = |set: BTreeSet<Offset>| Offsets { offsets: set.into_iter().collect() };
        if !released.is_empty() {
            records.push(Record::Released(offsets(released)));
        }
        if !published.is_empty() {
            records.push(Record::Published(offsets(published)));
        }
        // Last: what this batch releases was decided without them.
        for mirror in self.to_activate() {
            records.push(Record::MirrorActive(MirrorActive { mirror }));
        }
        if records.is_empty() {
            return None;
        }
        self.in_flight = records.iter().cloned().collect();
        Some(records)
    }

    /// Nothing of the batch under way was appended, nor ever will be.
    pub fn batch_failed(&mut self) {
        self.in_flight.clear();
        self.changed = true;
    }

    fn to_release(&self) -> BTreeSet<Offset> {
        let mut offsets = BTreeSet::new();
        for (repository, waiting) in &self.backlog.unreleased {
            for offset in waiting {
                if offsets.len() >= self.options.max_batch_offsets {
                    return offsets;
                }
                match self.agreement(*repository, *offset, Level::Applied) {
                    Agreement::NotYet => break,
                    Agreement::All | Agreement::Nobody => offsets.insert(*offset),
                };
            }
        }
        offsets
    }

    /// `released`: what the same batch releases. Of that, only what concerns nobody is published at once.
    fn to_publish(&self, released: &BTreeSet<Offset>) -> BTreeSet<Offset> {
        let mut offsets = BTreeSet::new();
        for (repository, waiting) in &self.backlog.unpublished {
            for offset in waiting {
                if offsets.len() >= self.options.max_batch_offsets {
                    return offsets;
                }
                let is_released = self.backlog.is_released(*offset);
                match self.agreement(*repository, *offset, Level::Shown) {
                    Agreement::All if is_released => offsets.insert(*offset),
                    Agreement::Nobody if is_released || released.contains(offset) => offsets.insert(*offset),
                    Agreement::All | Agreement::Nobody | Agreement::NotYet => break,
                };
            }
        }
        offsets
    }

    /// Where every active mirror has set the repository aside, nobody could serve it: wait.
    fn agreement(&self, repository: CreationId, offset: Offset, level: Level) -> Agreement {
        if self.backlog.get(offset).is_none_or(|record| !record.public) {
            return Agreement::Nobody;
        }
        let (mut agreement, mut abstained) = (Agreement::Nobody, false);
        for mirror in self.mirrors.values().filter(|mirror| mirror.active.is_some()) {
            match mirror.vote(repository, offset, level) {
                Vote::Yes => agreement = Agreement::All,
                Vote::Abstains => abstained = true,
                Vote::NotYet => return Agreement::NotYet,
            }
        }
        if agreement == Agreement::Nobody && abstained { Agreement::NotYet } else { agreement }
    }

    /// Mirrors that have caught up, and those whose word is so old that it holds back the log's trimming.
    fn to_activate(&self) -> Vec<InstanceName> {
        let mut names = Vec::new();
        for (name, mirror) in &self.mirrors {
            let wanted = match mirror.active {
                Some(place) => {
                    mirror.leaving.is_none()
                        && self.publication.0.saturating_sub(place.0) >= self.options.refresh_after_entries
                }
                None => {
                    let near = || {
                        let lag = lag(mirror, &self.backlog, &self.commits, self.now);
                        lag.records <= self.options.join_lag_records && lag.time <= self.options.max_lag
                    };
                    mirror.heard && !mirror.removed && near()
                }
            };
            if wanted {
                names.push(name.clone());
            }
        }
        names
    }
}
