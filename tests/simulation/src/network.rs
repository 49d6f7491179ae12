//! Connections between followers and masters.

use protocol::stream::{FromFollower, FromMaster};
use protocol::{Entry, Generation, LogName, Offset, PerLog};

use log::core::{Cut, Event};

use crate::Bug;
use crate::nodes::Node;
use crate::ssh::Meant;
use crate::wire::Wire;
use crate::world::{MIRRORS, World, note};

impl World {
    /// One message one way, or a new connection.
    pub fn network(&mut self) {
        let standbys = self.ssh.len();
        match self.chance.below(standbys + 2 * MIRRORS) {
            standby if standby < standbys => self.standby_network(standby),
            mirror => self.mirror_network((mirror - standbys) % MIRRORS),
        }
    }

    pub fn standby_network(&mut self, index: usize) {
        if self.is_paused(Node::Ssh(index)) {
            return;
        }
        if self.ssh[index].wire.is_none() {
            let master = self.any_ssh();
            return self.connect_standby(index, master);
        }
        self.send_to_standby(index);
        match self.chance.below(3) {
            0 => self.deliver_to_master_of_standby(index),
            _ => {
                let log = self.any_log();
                self.deliver_to_standby(index, log);
            }
        }
    }

    /// Connects a standby, which asks one after the other; who is no master any more and does not know it answers too.
    pub fn connect_standby(&mut self, index: usize, master: usize) {
        let reign = self.ssh[master].up.as_ref().and_then(|up| up.reign.as_ref());
        let Some(generation) = reign.map(|reign| reign.generation) else { return };
        let follows = self.ssh[index].up.as_ref().is_some_and(|up| up.reign.is_none());
        let reached = self.reaches(Node::Ssh(index), Node::Ssh(master)) && !self.is_paused(Node::Ssh(master));
        if !follows || !reached || !self.leads(master, generation) || generation < self.ssh[index].sealed {
            return;
        }
        // What the own reign still had on its way to the disk must have arrived before the end of the log is told:
        // else `Stored` would vouch for the master's record with an own one at the same offset.
        if self.ssh[index].up.as_ref().is_some_and(crate::ssh::Up::writes) {
            return;
        }
        let (Some(theirs), Some(ours)) = (&self.ssh[master].up, &self.ssh[index].up) else { return };
        let mut wire = Wire::new(master, generation, PerLog::of(|_| Offset(1)));
        if ours.leaving {
            wire.up.push_back(FromFollower::Leaving);
        }
        for log in LogName::ALL {
            let (of_master, of_standby) = (theirs.logs[log].view(), ours.logs[log].view());
            wire.next[log] = of_standby.generations.end().next();
            wire.truncate[log] =
                of_master.generations.fork(of_standby.generations.end().next(), of_standby.generations.last());
        }
        note!(self, "ssh-{index} follows ssh-{master}, next {:?}, truncate {:?}", wire.next, wire.truncate);
        let forks = wire.truncate;
        if forks != PerLog::default() {
            self.happened("logs forked");
        }
        self.raise_seal(index, generation);
        self.ssh[index].wire = Some(wire);
        self.ssh[index].heard = Some((generation, self.clock(Node::Ssh(index))));
        let Some(up) = &mut self.ssh[index].up else { return };
        up.handle(LogName::Replication, Event::Follow);
        up.handle(LogName::Publication, Event::Follow);
        for log in LogName::ALL {
            if let Some(from) = forks[log] {
                let ticket = up.ticket(log, Meant::Fork);
                up.handle(log, Event::Truncate { ticket, from, cut: Cut::Uncommitted });
            } else {
                // What is here already may count for the commit.
                let ticket = up.ticket(log, Meant::Sync);
                up.handle(log, Event::Sync { ticket });
            }
        }
        self.settle_ssh(index);
    }

    fn send_to_standby(&mut self, index: usize) {
        let Some(mut wire) = self.ssh[index].wire.take() else { return };
        if self.is_paused(Node::Ssh(wire.master)) {
            self.ssh[index].wire = Some(wire);
            return;
        }
        self.ssh[index].heard = Some((wire.generation, self.clock(Node::Ssh(index))));
        let master = &self.ssh[wire.master];
        if let Some(up) = master.up.as_ref().filter(|_| wire.truncate == PerLog::default()) {
            for log in LogName::ALL {
                let view = up.logs[log].view();
                send(&mut wire, log, view.generations.end(), view.committed, |offset| master.disks[log].get(offset));
            }
        }
        self.ssh[index].wire = Some(wire);
    }

    pub fn deliver_to_standby(&mut self, index: usize, log: LogName) {
        let ssh = &mut self.ssh[index];
        let (Some(up), Some(wire)) = (&mut ssh.up, &mut ssh.wire) else { return };
        let event = match wire.down[log].pop_front() {
            Some(FromMaster::Entry { entry, .. }) => {
                Event::Store { ticket: up.ticket(log, Meant::Store), entries: vec![entry] }
            }
            Some(FromMaster::Committed { through, .. }) => Event::Announced { through },
            Some(FromMaster::Welcome { .. } | FromMaster::OutOfRange { .. } | FromMaster::Heartbeat { .. }) | None => {
                return;
            }
        };
        up.handle(log, event);
        self.settle_ssh(index);
    }

    pub fn deliver_to_master_of_standby(&mut self, index: usize) {
        let Some(master) = self.ssh[index].wire.as_ref().map(|wire| wire.master) else { return };
        let wire = self.ssh[index].wire.as_mut().filter(|_| !self.nodes.stands_still(Node::Ssh(master)));
        let Some(wire) = wire else { return };
        match wire.up.pop_front() {
            Some(FromFollower::Stored { log, through }) => self.stored(master, index, log, through),
            Some(FromFollower::Leaving) => self.left(master, index),
            Some(FromFollower::Hello { .. } | FromFollower::Progress(_) | FromFollower::Window { .. }) | None => {}
        }
    }

    pub fn mirror_network(&mut self, index: usize) {
        if self.mirrors[index].wire.is_none() {
            return self.connect_mirror(index);
        }
        self.send_to_mirror(index);
        match self.chance.below(3) {
            0 => self.deliver_to_master_of_mirror(index),
            _ => {
                let log = self.any_log();
                self.deliver_to_mirror(index, log);
            }
        }
    }

    fn connect_mirror(&mut self, index: usize) {
        self.start_mirror(index);
        // Now and then it finds a master that does not know yet that it is none.
        let named = self.master().filter(|_| !self.faults || !self.chance.one_in(4));
        let master = named.unwrap_or_else(|| self.any_ssh());
        let Some(reign) = self.ssh[master].up.as_ref().and_then(|up| up.reign.as_ref()) else { return };
        let generation = reign.generation;
        let Some(up) = &self.ssh[master].up else { return };
        let welcome = up.committed(LogName::Publication).max(reign.publishing.core.welcome());
        let Some(mirror) = &mut self.mirrors[index].up else { return };
        let checkpoint = mirror.work.lanes.publication_through();
        let next = PerLog::new(mirror.work.lanes.received().next(), checkpoint.next());
        // What it has seen committed, a master of today has too.
        if welcome < checkpoint || generation == Generation(0) {
            return;
        }
        mirror.work.lanes.welcome(welcome);
        self.mirrors[index].wire = Some(Wire::new(master, generation, next));
        self.forget_told(index);
        note!(self, "mirror-{index} follows ssh-{master} from {next:?}");
        let name = self.mirrors[index].name.clone();
        let now = self.now;
        if let Some(reign) = self.ssh[master].up.as_mut().and_then(|up| up.reign.as_mut()) {
            reign.publishing.core.mirror_connected(&name, now);
        }
    }

    fn send_to_mirror(&mut self, index: usize) {
        let Some(mut wire) = self.mirrors[index].wire.take() else { return };
        let master = &self.ssh[wire.master];
        if let Some(up) = master.up.as_ref().filter(|_| !self.is_paused(Node::Ssh(wire.master))) {
            for log in LogName::ALL {
                let committed = up.committed(log);
                send(&mut wire, log, committed, Offset::ZERO, |offset| master.disks[log].get(offset));
            }
        }
        self.mirrors[index].wire = Some(wire);
    }

    pub fn deliver_to_mirror(&mut self, index: usize, log: LogName) {
        let mirror = &mut self.mirrors[index];
        let (Some(up), Some(wire)) = (&mut mirror.up, &mut mirror.wire) else { return };
        if log == LogName::Replication && !up.work.lanes.room() {
            return;
        }
        let Some(FromMaster::Entry { entry, .. }) = wire.down[log].pop_front() else { return };
        if !self.truth.agrees(log, &entry) {
            return self.broken(format!("mirror-{index} received {log:?} {}, which is not committed", entry.offset));
        }
        let Ok(record) = entry.record() else { return };
        let lanes = &mut up.work.lanes;
        let taken = match log {
            LogName::Replication => lanes.committed(entry.offset, &record).map(drop),
            LogName::Publication => lanes.publication(entry.offset, &record),
        };
        if let Err(gap) = taken {
            self.broken(format!("mirror-{index}: {gap}"));
        }
        self.observe_ready(index);
    }

    pub fn deliver_to_master_of_mirror(&mut self, index: usize) {
        let told_by = if self.bug == Some(Bug::PublishBeforeLastMirror) { 0 } else { index };
        let mirror = &mut self.mirrors[index];
        let Some(wire) = &mut mirror.wire else { return };
        let master = wire.master;
        if self.nodes.stands_still(Node::Ssh(master)) {
            return;
        }
        let Some(FromFollower::Progress(progress)) = wire.up.pop_front() else { return };
        let quarantined = progress.lanes.iter().filter(|lane| lane.quarantined).map(|lane| lane.repository);
        mirror.told_quarantined[master] = quarantined.collect();
        let now = self.now;
        let names: Vec<_> = match told_by == index {
            true if self.bug == Some(Bug::PublishBeforeLastMirror) => {
                self.mirrors.iter().map(|mirror| mirror.name.clone()).collect()
            }
            true => vec![self.mirrors[index].name.clone()],
            false => Vec::new(),
        };
        if let Some(reign) = self.ssh[master].up.as_mut().and_then(|up| up.reign.as_mut()) {
            names.iter().for_each(|name| reign.publishing.core.progress(name, progress.clone(), now));
        }
    }
}

fn send<'a>(
    wire: &mut Wire,
    log: LogName,
    through: Offset,
    committed: Offset,
    entry: impl Fn(Offset) -> Option<&'a Entry>,
) {
    while wire.next[log] <= through && wire.has_room(log) {
        let Some(entry) = entry(wire.next[log]).cloned() else { return };
        wire.next[log] = entry.offset.next();
        wire.send(log, FromMaster::Entry { log, entry });
    }
    if committed > wire.announced[log] && wire.has_room(log) {
        wire.announced[log] = committed;
        wire.send(log, FromMaster::Committed { log, through: committed });
    }
}
