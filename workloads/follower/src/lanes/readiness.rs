//! When a mirror may serve: it is active, and shows everything that was released when it became so (and, after a
//! start, when it last reached the master). From then on release waits for it, so that it stays ready until it
//! leaves.

use std::collections::BTreeMap;

use protocol::{CreationId, Offset};

use super::{Lanes, Mode};

pub(super) struct Readiness {
    /// Where in the publication log this mirror became active.
    active: Option<Offset>,
    /// The publication log's end when the master was last reached.
    welcome: Option<Offset>,
    /// Awaited: what is still to be shown, once the log has been read up to both.
    awaited: Option<Awaited>,
    ready: bool,
}

struct Awaited {
    received: Offset,
    lanes: Option<BTreeMap<CreationId, Offset>>,
}

impl Readiness {
    pub fn new(active: bool) -> Readiness {
        Readiness { active: active.then_some(Offset::ZERO), welcome: None, awaited: None, ready: false }
    }

    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Said again of an active mirror it means nothing new (the log is told again so that its start may be trimmed).
    pub fn activate(&mut self, place: Offset) {
        self.active.get_or_insert(place);
    }

    pub fn deactivate(&mut self) {
        self.active = None;
        self.awaited = None;
        self.ready = false;
    }
}

impl Lanes {
    /// The master's `Welcome`: the end of its publication log, with what is decided and on its way. Of a mirror that
    /// is ready release has waited ever since.
    pub fn welcome(&mut self, publication: Offset) {
        if !self.readiness.ready {
            self.readiness.welcome = Some(publication);
            self.readiness.awaited = None;
        }
    }

    /// Answers what `/readyz` says. An SSH instance is ready when it has looked at all its repositories.
    pub fn ready(&mut self) -> bool {
        if self.options.mode == Mode::Direct {
            return self.to_open == 0;
        }
        if !self.readiness.ready {
            self.readiness.ready = self.becomes_ready();
        }
        self.readiness.ready
    }

    fn becomes_ready(&mut self) -> bool {
        let (Some(active), Some(welcome)) = (self.readiness.active, self.readiness.welcome) else { return false };
        if self.releases.through < active.max(welcome) {
            return false;
        }
        let newest = self.releases.early.last().unwrap_or(self.received);
        let awaited = self.readiness.awaited.get_or_insert(Awaited { received: newest, lanes: None });
        if self.received < awaited.received {
            return false;
        }
        let lanes = awaited.lanes.get_or_insert_with(|| {
            let released = |lane: &super::lane::Lane| {
                let items = lane.queue.iter().take_while(|item| lane.is_released(item.offset));
                items.last().map(|item| item.offset)
            };
            self.lanes.iter().filter_map(|(id, lane)| Some((*id, released(lane)?))).collect()
        });
        let received = self.received;
        lanes.retain(|id, needed| {
            let shown = |lane: &super::lane::Lane| lane.quarantined || lane.shown(received) >= *needed;
            !self.lanes.get(id).is_none_or(shown)
        });
        let settled = |lane: &super::lane::Lane| {
            lane.opened && (lane.quarantined || (lane.owed.is_none() && !lane.is_ahead(received)))
        };
        lanes.is_empty() && self.lanes.values().all(settled)
    }
}
