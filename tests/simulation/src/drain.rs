//! The end of a run: nothing fails any more, and everything must come to rest.

use protocol::{LogName, Offset};

use crate::nodes::OPERATORS;
use crate::world::{MIRRORS, World, note};

const ROUNDS: usize = 400;

impl World {
    pub fn drain(&mut self) {
        self.faults = false;
        self.calm();
        self.mirrors.iter_mut().for_each(|mirror| mirror.store.full = false);
        note!(self, "faults end");
        for _ in 0..ROUNDS {
            if self.violation.is_some() {
                return;
            }
            self.statistics.steps += 1;
            self.round();
            if self.at_rest() {
                return self.check_equal();
            }
        }
        let why = self.unrest();
        self.broken(format!("the run does not come to rest: {why}"));
    }

    /// Everybody does what there is to do.
    pub fn round(&mut self) {
        self.now += std::time::Duration::from_millis(150);
        self.restart_all();
        (0..OPERATORS).for_each(|which| self.operate(which));
        for index in 0..self.ssh.len() {
            self.open_master(index);
            self.keep(index);
            self.work_of_ssh(index);
            self.feed_ssh_lanes(index);
            let Some(up) = &mut self.ssh[index].up else { continue };
            up.work.start(self.now);
            (0..up.work.actions.len()).for_each(|_| self.act_on_ssh(index, 0));
        }
        for index in 0..MIRRORS {
            for _ in 0..4 {
                self.mirror_network(index);
                LogName::ALL.into_iter().for_each(|log| self.deliver_to_mirror(index, log));
                self.deliver_to_master_of_mirror(index);
            }
            let Some(up) = &mut self.mirrors[index].up else { continue };
            up.work.start(self.now);
            (0..up.work.actions.len()).for_each(|_| self.act_on_mirror(index, 0));
            self.tell_progress(index);
            self.observe_ready(index);
        }
        self.aggregate();
        self.balance();
    }

    /// Works as one SSH instance does in a while that is short for everybody else.
    pub fn work_of_ssh(&mut self, index: usize) {
        for _ in 0..6 {
            LogName::ALL.into_iter().for_each(|log| self.ssh_disk_of(index, log));
            self.standby_network(index);
            self.deliver_to_master_of_standby(index);
        }
    }

    fn at_rest(&self) -> bool {
        self.unrest().is_empty()
    }

    /// Says in words what still moves; empty when nothing does.
    fn unrest(&self) -> String {
        let end = self.truth.end(LogName::Replication);
        let whole = self.register.state().in_sync.len() + 1 == self.ssh.len();
        let up = self.master().filter(|_| whole).and_then(|master| self.ssh[master].up.as_ref());
        let Some((up, reign)) = up.and_then(|up| Some((up, up.reign.as_ref()?))) else {
            return format!("nobody leads with all standbys: {:?}", self.register.state());
        };
        if up.logs.replication.view().generations.end() != end || reign.publishing.core.published_through() != end {
            return format!("published through {} of {end}", reign.publishing.core.published_through());
        }
        for (index, ssh) in self.ssh.iter().enumerate() {
            let lanes = ssh.up.as_ref().map(|up| &up.work.lanes);
            let done = |lanes: &follower::lanes::Lanes| lanes.progress().is_some_and(|p| p.shown_through == end);
            if !lanes.is_some_and(done) {
                return format!("ssh-{index} has not applied everything");
            }
            if lanes.is_some_and(|lanes| lanes.quarantined().next().is_some()) {
                return format!("ssh-{index} has a repository in quarantine");
            }
        }
        for (index, mirror) in self.mirrors.iter().enumerate() {
            let Some(up) = &mirror.up else { return format!("mirror-{index} is down") };
            let progress = up.work.lanes.progress().unwrap_or_default();
            if progress.shown_through != end || !progress.lanes.is_empty() {
                return format!("mirror-{index} is not done: {progress:?}");
            }
            if !self.in_rotation(index) {
                return format!("mirror-{index} is not in rotation, ready {}", up.ready);
            }
        }
        String::new()
    }

    fn check_equal(&mut self) {
        for log in LogName::ALL {
            for offset in (1..=self.truth.end(log).0).map(Offset) {
                for index in 0..self.ssh.len() {
                    let here = self.ssh[index].disks[log].get(offset);
                    if here.is_none_or(|entry| !self.truth.agrees(log, entry)) {
                        return self.broken(format!("ssh-{index} lacks {log:?} {offset} at the end"));
                    }
                }
            }
        }
        let acknowledged = std::mem::take(&mut self.acknowledged);
        for (offset, bytes) in acknowledged {
            if self.truth.get(LogName::Replication, offset).is_none_or(|entry| entry.bytes != bytes) {
                return self.broken(format!("acknowledged record {offset} is lost"));
            }
        }
        let repositories: Vec<_> = self.truth.registry.iter().map(|r| (r.id, r.is_public(), r.last)).collect();
        for (id, public, last) in &repositories {
            let copies = self.ssh.iter().map(|ssh| (ssh.store.live.get(id), true));
            let copies = copies.chain(self.mirrors.iter().map(|mirror| (mirror.store.live.get(id), *public)));
            let wanted = self.truth.content(*id, follower::lanes::LaneFacts { applied: *last, shown: *last });
            let wrong = copies
                .filter(|(copy, there)| copy.is_some() != *there || copy.is_some_and(|copy| copy.content != wanted))
                .count();
            if wrong > 0 {
                self.broken(format!("repository {id} differs on {wrong} instances at the end"));
            }
        }
        let known: std::collections::BTreeSet<_> = repositories.iter().map(|(id, ..)| *id).collect();
        for (index, mirror) in self.mirrors.iter().enumerate() {
            if let Some(left) = mirror.store.live.keys().find(|id| !known.contains(id)) {
                return self.broken(format!("mirror-{index} still has deleted repository {left}"));
            }
        }
    }
}
