//! The promises, checked after each step that could have broken them.

use follower::lanes::LaneView;
use protocol::{CreationId, InstanceName, LogName, Offset, Record};

use crate::truth::Kind;
use crate::world::{MIRRORS, World};

impl World {
    /// A master begins with every committed record, so that no acknowledged one is lost and none is replaced.
    pub fn check_holds_all(&mut self, index: usize) {
        for log in LogName::ALL {
            for offset in (1..=self.truth.end(log).0).map(Offset) {
                let here = self.ssh[index].disks[log].get(offset);
                if here.is_none_or(|entry| !self.truth.agrees(log, entry)) {
                    let acknowledged = log == LogName::Replication && self.acknowledged.contains_key(&offset);
                    let what = if acknowledged { "acknowledged" } else { "committed" };
                    return self
                        .broken(format!("{what} {log:?} record {offset} is not in the log that ssh-{index} opens"));
                }
            }
        }
    }

    pub fn holds_all(&self, index: usize, log: LogName) -> bool {
        (1..=self.truth.end(log).0)
            .map(Offset)
            .all(|offset| self.ssh[index].disks[log].get(offset).is_some_and(|entry| self.truth.agrees(log, entry)))
    }

    /// Repositories hold what the log says, in its order.
    pub fn check_ssh_content(&mut self, index: usize, id: CreationId) {
        let Some(repository) = self.ssh[index].store.live.get(&id).filter(|repository| !repository.corrupt) else {
            return;
        };
        let wanted = self.truth.content(id, repository.facts);
        if wanted != repository.content {
            let found = format!("{:?} instead of {wanted:?}", repository.content);
            self.broken(format!("one order: ssh-{index} repository {id} holds {found}"));
        }
    }

    pub fn check_mirror(&mut self, index: usize, id: CreationId) {
        if let Some(repository) = self.mirrors[index].store.live.get(&id).filter(|repository| !repository.corrupt) {
            let wanted = self.truth.content(id, repository.facts);
            if wanted != repository.content {
                let found = format!("{:?} instead of {wanted:?}", repository.content);
                return self.broken(format!("one order: mirror-{index} repository {id} holds {found}"));
            }
        }
        for mirror in 0..MIRRORS {
            self.check_shown(mirror, id);
        }
    }

    pub fn check_all_lanes(&mut self, index: usize) {
        let ids: Vec<CreationId> = self.truth.lanes.keys().copied().collect();
        ids.into_iter().for_each(|id| self.check_shown(index, id));
    }

    /// Checks what clients see of one repository on one mirror: only what is released, never less than before, and
    /// only what every other mirror that clients may ask has applied.
    fn check_shown(&mut self, index: usize, id: CreationId) {
        let Some(view) = self.seen_by_clients(index, id) else { return };
        let Some(repository) = self.mirrors[index].store.live.get(&id) else {
            return self.broken(format!("mirror-{index} routes to repository {id}, which it does not have"));
        };
        let shown = repository.facts.shown;
        if shown != view.shown && !self.only_other(id, view.shown.min(shown), view.shown.max(shown)) {
            return self
                .broken(format!("mirror-{index} shows {shown} of repository {id}, its lane says {}", view.shown));
        }
        let before = self.mirrors[index].served.insert(id, shown).unwrap_or_default();
        if shown < before {
            return self.broken(format!("mirror-{index} repository {id} goes back from {before} to {shown}"));
        }
        let lane = self.truth.lanes.get(&id).cloned().unwrap_or_default();
        let newest =
            lane.iter().rev().find(|(offset, kind, public)| *offset <= shown && *kind != Kind::Other && *public);
        let Some((newest, ..)) = newest else { return };
        if !self.truth.released.contains(newest) {
            return self.broken(format!("mirror-{index} shows record {newest} of repository {id} before its release"));
        }
        for other in (0..MIRRORS).filter(|other| *other != index) {
            let exempt = self.mirrors[other].exempt.get(&id).is_some_and(|through| newest <= through);
            let Some(theirs) = self.seen_by_clients(other, id).filter(|_| !exempt) else { continue };
            if theirs.applied < *newest {
                let has = theirs.applied;
                return self.broken(format!(
                    "mirror-{index} shows record {newest} of repository {id}, mirror-{other} has applied only {has}"
                ));
            }
        }
    }

    /// None: clients are not sent there, or their requests go on to a peer.
    fn seen_by_clients(&self, index: usize, id: CreationId) -> Option<LaneView> {
        let up = self.mirrors[index].up.as_ref().filter(|up| up.ready && self.serves(index))?;
        up.work.lanes.lane(id).filter(|lane| lane.routable)
    }

    /// Between the two there is nothing that a repository's content shows.
    fn only_other(&self, id: CreationId, after: Offset, through: Offset) -> bool {
        let lane = self.truth.lanes.get(&id).into_iter().flatten();
        lane.filter(|(offset, ..)| *offset > after && *offset <= through).all(|(_, kind, _)| *kind == Kind::Other)
    }

    /// Released means applied on every active mirror, published means shown there.
    pub fn check_decision(&mut self, active: &[InstanceName], records: &[Record], master: usize) {
        for record in records {
            let (offsets, publishes) = match record {
                Record::Released(released) => (&released.offsets, false),
                Record::Published(published) => (&published.offsets, true),
                _ => continue,
            };
            for offset in offsets {
                for index in 0..MIRRORS {
                    if active.contains(&self.mirrors[index].name) {
                        self.check_reached(index, *offset, publishes, master);
                    }
                }
            }
        }
    }

    fn check_reached(&mut self, index: usize, offset: Offset, publishes: bool, master: usize) {
        let lane = self.truth.lanes.iter().find_map(|(id, lane)| {
            lane.binary_search_by_key(&offset, |(offset, ..)| *offset).ok().map(|place| (*id, lane[place]))
        });
        let Some((id, (_, kind, public))) = lane else {
            return self.broken(format!("record {offset} is released and not committed"));
        };
        let matters = matches!(kind, Kind::Init | Kind::Push | Kind::Strip(_));
        if !public || !matters || self.truth.ended_after(id, offset) {
            return;
        }
        let mirror = &mut self.mirrors[index];
        let told = mirror.wire.as_ref().is_some_and(|wire| wire.master == master);
        if told && mirror.told_quarantined[master].contains(&id) {
            let exempt = mirror.exempt.entry(id).or_default();
            *exempt = offset.max(*exempt);
            return;
        }
        let reached = mirror.store.reached.get(&id).copied().unwrap_or_default();
        let (level, word) = if publishes { (reached.shown, "published") } else { (reached.applied, "released") };
        if level < offset {
            self.broken(format!("record {offset} of repository {id} is {word}, mirror-{index} is only at {level}"));
        }
    }
}
