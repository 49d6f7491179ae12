//! Actions of lanes on their way to the disk.

use std::time::Duration;

use follower::lanes::{Action, ActionKind, Lanes, Options};
use protocol::{CreationId, LogName, Offset};

use crate::store::Repository;
use crate::world::{MIRRORS, SSH, World, note};

pub struct Work {
    pub lanes: Lanes,
    pub actions: Vec<Action>,
}

impl Work {
    pub fn new(lanes: Lanes) -> Work {
        Work { lanes, actions: Vec::new() }
    }

    pub fn start(&mut self, now: Duration) {
        let actions = self.lanes.actions(now);
        self.actions.extend(actions);
    }
}

/// Small bounds, so that they are met.
pub fn options(options: Options) -> Options {
    Options {
        max_in_flight: 3,
        retry_first: Duration::from_millis(20),
        retry_max: Duration::from_millis(500),
        attempts_before_quarantine: 4,
        max_stuck_records: 8,
        max_pending_records: 24,
        max_unsettled_records: 60,
        ..options
    }
}

impl World {
    pub fn ssh_lanes(&mut self) {
        let index = self.any_ssh();
        if self.is_paused(crate::nodes::Node::Ssh(index)) {
            return;
        }
        self.feed_ssh_lanes(index);
        let Some(up) = &mut self.ssh[index].up else { return };
        up.work.start(self.now);
        let (count, which) = (up.work.actions.len(), self.chance.below(up.work.actions.len()));
        if count > 0 {
            self.act_on_ssh(index, which);
        }
    }

    pub fn feed_ssh_lanes(&mut self, index: usize) {
        let ssh = &mut self.ssh[index];
        let Some(up) = &mut ssh.up else { return };
        let committed = up.committed(LogName::Replication);
        while up.work.lanes.received() < committed && up.work.lanes.room() {
            let offset = up.work.lanes.received().next();
            let Some(Ok(record)) = ssh.disks.replication.get(offset).map(protocol::Entry::record) else { return };
            if up.work.lanes.committed(offset, &record).is_err() {
                return self.broken(format!("ssh-{index}: record {offset} is out of order"));
            }
        }
    }

    pub fn act_on_ssh(&mut self, index: usize, which: usize) {
        let Some(up) = &mut self.ssh[index].up else { return };
        let action = up.work.actions.swap_remove(which);
        if let ActionKind::Replay { after, fresh } = action.kind {
            return self.replay(index, &action, after, fresh);
        }
        let peer = self.peer(&action, index, MIRRORS);
        let ssh = &mut self.ssh[index];
        let chance = self.faults.then_some(&mut self.chance);
        let outcome = ssh.store.perform(action.repository, &action.kind, peer.as_ref(), chance);
        note!(self, "ssh-{index} {}: {:?}: {outcome:?}", action.repository, action.kind);
        if let Some(up) = &mut self.ssh[index].up {
            up.work.lanes.finished(action.ticket, outcome, self.now);
        }
        self.check_ssh_content(index, action.repository);
    }

    /// A few of the repository's records from the instance's own log.
    fn replay(&mut self, index: usize, action: &Action, after: Offset, fresh: bool) {
        const PART: usize = 5;
        let ssh = &mut self.ssh[index];
        let Some(up) = &mut ssh.up else { return };
        if fresh {
            ssh.store.live.remove(&action.repository);
        }
        let received = up.work.lanes.received();
        let mut records = Vec::new();
        let mut through = after;
        while through < received && records.len() < PART {
            through = through.next();
            let Some(Ok(record)) = ssh.disks.replication.get(through).map(protocol::Entry::record) else { return };
            if record.repository(through) == Some(action.repository) {
                records.push((through, record));
            }
        }
        note!(self, "ssh-{index} {}: {:?}: {} records", action.repository, action.kind, records.len());
        let Some(up) = &mut self.ssh[index].up else { return };
        up.work.lanes.replayed(action.ticket, &records, through, self.now);
    }

    pub fn act_on_mirror(&mut self, index: usize, which: usize) {
        let Some(up) = &mut self.mirrors[index].up else { return };
        let action = up.work.actions.swap_remove(which);
        let peer = self.peer(&action, SSH, index);
        let mirror = &mut self.mirrors[index];
        let chance = self.faults.then_some(&mut self.chance);
        let outcome = mirror.store.perform(action.repository, &action.kind, peer.as_ref(), chance);
        note!(self, "mirror-{index} {}: {:?}: {outcome:?}", action.repository, action.kind);
        if let Some(up) = &mut self.mirrors[index].up {
            up.work.lanes.finished(action.ticket, outcome, self.now);
        }
        self.check_mirror(index, action.repository);
    }

    /// Another instance's copy of the repository, anyone's who runs.
    fn peer(&mut self, action: &Action, not_ssh: usize, not_mirror: usize) -> Option<Repository> {
        let ActionKind::Resync { .. } = action.kind else { return None };
        let id: CreationId = action.repository;
        let masters = (0..self.ssh.len()).filter(|i| *i != not_ssh && self.ssh[*i].up.is_some());
        let mirrors = (0..MIRRORS).filter(|i| *i != not_mirror && self.mirrors[*i].up.is_some());
        let copies = masters.filter_map(|i| self.ssh[i].store.live.get(&id));
        let copies = copies.chain(mirrors.filter_map(|i| self.mirrors[i].store.live.get(&id)));
        // An SSH instance has no use for what is hidden.
        let whole = |copy: &&Repository| not_mirror < MIRRORS || copy.facts.applied == copy.facts.shown;
        let copies: Vec<&Repository> = copies.filter(|copy| !copy.corrupt).filter(whole).collect();
        let which = self.chance.below(copies.len());
        copies.get(which).map(|repository| Repository::clone(repository))
    }
}
