//! The register, and those who write it: openings, promotions, and the in-sync set. Every change is one step here;
//! what lies between the writes is explored by the model in the design's sketches.

use protocol::{Generation, LogName};

use log::core::Event;

use crate::ssh::{Meant, Reign};
use crate::world::{SSH, World, note};

#[derive(Default)]
pub struct Register {
    pub generation: Generation,
    pub master: usize,
    /// The other instance's acknowledgement is part of every commit.
    pub in_sync: bool,
}

impl World {
    pub fn govern(&mut self) {
        match self.chance.below(6) {
            0 | 1 => self.open_master(),
            2 => self.promote(),
            3 => self.depose(),
            4 => self.shrink(),
            _ => self.grow(),
        }
    }

    pub fn open_master(&mut self) {
        let master = self.register.master;
        let leads = self.ssh[master].up.as_ref().is_none_or(|up| up.reign.is_some());
        if leads {
            return;
        }
        self.register.generation = self.register.generation.next();
        let generation = self.register.generation;
        note!(self, "ssh-{master} opens generation {generation}, in-sync {}", self.register.in_sync);
        if self.bug == Some(crate::Bug::ReuseOffset) {
            self.restart_with_a_shorter_log(master);
        }
        let in_sync =
            if self.register.in_sync { [self.ssh[1 - master].disk.clone()].into() } else { Default::default() };
        self.check_holds_all(master);
        self.disconnect_standby(master);
        let ssh = &mut self.ssh[master];
        ssh.sealed = generation;
        let Some(up) = &mut ssh.up else { return };
        up.reign = Some(Reign::new(generation, self.now));
        for log in LogName::ALL {
            let ticket = up.ticket(log, Meant::Nothing);
            up.handle(log, Event::Lead { ticket, generation, in_sync: std::collections::BTreeSet::clone(&in_sync) });
            let started = protocol::record::GenerationStarted {
                master: ssh.name.clone(),
                time: protocol::Timestamp(self.now.as_micros() as u64),
            };
            let records = vec![protocol::Record::GenerationStarted(started).encode()];
            let ticket = up.ticket(log, Meant::Nothing);
            up.handle(log, Event::Append { ticket, generation, records });
        }
        self.settle_ssh(master);
    }

    fn promote(&mut self) {
        let (old, new) = (self.register.master, 1 - self.register.master);
        let suspected = self.ssh[old].up.is_none() || self.chance.one_in(6);
        if !self.register.in_sync || self.ssh[new].up.is_none() || !suspected {
            return;
        }
        self.register.generation = self.register.generation.next();
        self.register.master = new;
        self.ssh[new].sealed = self.register.generation;
        self.statistics.promotions += 1;
        note!(self, "ssh-{new} is sealed and named master");
        self.cut_standby(new);
    }

    /// A deposed master learns it.
    pub fn depose(&mut self) {
        for index in 0..SSH {
            let current = self.register.generation;
            let Some(up) = &mut self.ssh[index].up else { continue };
            if up.reign.as_ref().is_none_or(|reign| reign.generation == current) {
                continue;
            }
            up.reign = None;
            up.clients.clear();
            LogName::ALL.into_iter().for_each(|log| up.handle(log, Event::Follow));
            note!(self, "ssh-{index} is deposed");
            self.cut_followers_of(index);
            self.settle_ssh(index);
        }
    }

    /// The register first, then commits may do without the standby.
    pub fn shrink(&mut self) {
        let master = self.register.master;
        let lost = self.ssh[1 - master].wire.is_none();
        if lost && self.register.in_sync && self.leads(master) {
            self.register.in_sync = false;
            note!(self, "ssh-{master} goes on alone");
            self.require(master, false);
        }
    }

    /// Commits wait for the standby first, then the register may say so.
    pub fn grow(&mut self) {
        let master = self.register.master;
        if self.register.in_sync || !self.leads(master) {
            return;
        }
        let standby = self.ssh[1 - master].disk.clone();
        let Some(up) = &self.ssh[master].up else { return };
        let stored = |log: LogName| {
            let view = up.logs[log as usize].view();
            view.acknowledged.get(&standby).is_some_and(|through| *through >= view.committed)
        };
        if LogName::ALL.into_iter().all(stored) {
            note!(self, "ssh-{master} takes the standby back");
            self.require(master, true);
            self.register.in_sync = true;
        }
    }

    fn require(&mut self, master: usize, standby: bool) {
        let disk = self.ssh[1 - master].disk.clone();
        let generation = self.register.generation;
        let Some(up) = &mut self.ssh[master].up else { return };
        for log in LogName::ALL {
            let in_sync = if standby { [disk.clone()].into() } else { Default::default() };
            let ticket = up.ticket(log, Meant::Nothing);
            up.handle(log, Event::InSync { ticket, generation, in_sync });
        }
        self.settle_ssh(master);
    }

    /// Writes, and is the one whom the register names. Only then it has followers: before `Lead` is answered a cut of
    /// its own may still be under way, and what it sends would be gone the next moment.
    pub fn leads(&self, index: usize) -> bool {
        let leading =
            |up: &crate::ssh::Up| up.logs.iter().all(|log| log.view().leading == Some(self.register.generation));
        self.register.master == index && self.ssh[index].up.as_ref().is_some_and(leading)
    }
}
