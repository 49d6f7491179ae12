//! Faults: what goes wrong.

use protocol::stream::FromFollower;

use crate::Bug;
use crate::ssh::Ssh;
use crate::world::{MIRRORS, World, note};

impl World {
    pub fn fault(&mut self) {
        match self.chance.below(12) {
            0 | 1 => {
                let (index, power) = (self.any_ssh(), self.chance.one_in(2));
                self.crash_ssh(index, power);
            }
            2 | 3 => {
                let (index, power) = (self.any_mirror(), self.chance.one_in(3));
                self.crash_mirror(index, power);
            }
            4 => {
                let index = self.any_ssh();
                self.cut_standby(index);
            }
            5 => {
                let index = self.any_mirror();
                self.cut_mirror(index);
            }
            6 => {
                let index = self.any_mirror();
                let full = &mut self.mirrors[index].store.full;
                *full = !*full;
                note!(self, "mirror-{index} full: {}", self.mirrors[index].store.full);
            }
            // A disk is lost: the mirror comes back as a newcomer of the same name.
            7 if self.chance.one_in(3) => {
                let index = self.any_mirror();
                self.crash_mirror(index, false);
                let mirror = &mut self.mirrors[index];
                mirror.store.lose_disk();
                mirror.checkpoint = None;
                note!(self, "mirror-{index} has lost its disk");
            }
            8 if self.chance.one_in(3) => self.lose_ssh_disk(),
            9 if self.leaves => {
                let index = self.any_ssh();
                self.ask_to_end(index);
            }
            _ => self.restart_all(),
        }
    }

    pub fn restart_all(&mut self) {
        for index in 0..self.ssh.len() {
            if self.ssh[index].up.as_ref().is_some_and(|up| up.leaving) {
                self.crash_ssh(index, false);
            }
            self.restart_ssh(index);
        }
        for index in 0..MIRRORS {
            self.mirrors[index].running = true;
            self.start_mirror(index);
        }
    }

    pub fn restart_ssh(&mut self, index: usize) {
        let ssh = &mut self.ssh[index];
        if ssh.up.is_some() {
            return;
        }
        if self.bug == Some(Bug::ForgetSealAtRestart) {
            ssh.sealed = protocol::Generation(0);
        }
        ssh.up = Some(crate::ssh::start(&ssh.name, &mut ssh.disks, ssh.checkpoint.clone()));
        note!(self, "ssh-{index} starts");
    }

    /// A standby, which is in the set until its master has heard it.
    fn ask_to_end(&mut self, index: usize) {
        let Ssh { up, wire, .. } = &mut self.ssh[index];
        let Some(up) = up.as_mut().filter(|up| up.reign.is_none()) else { return };
        up.leaving = true;
        if let Some(wire) = wire {
            wire.up.push_back(FromFollower::Leaving);
        }
        note!(self, "ssh-{index} is asked to end");
    }

    pub fn crash_ssh(&mut self, index: usize, power: bool) {
        if self.ssh[index].up.take().is_none() {
            return;
        }
        note!(self, "ssh-{index} crashes, power lost: {power}");
        self.happened("SSH instances crashed");
        self.cut_standby(index);
        self.cut_followers_of(index);
        let ssh = &mut self.ssh[index];
        if power {
            ssh.disks.as_mut().map(|disk| disk.lose_power(&mut self.chance));
            ssh.store.lose_power(&mut self.chance);
        }
    }

    /// Not the last one that has everything: that would lose what is acknowledged, and nobody can help it.
    fn lose_ssh_disk(&mut self) {
        let index = self.any_ssh();
        let whole = |other: usize| protocol::LogName::ALL.into_iter().all(|log| self.holds_all(other, log));
        let able = |state: &register::State, other: usize| {
            let name = &self.ssh[other].name;
            let meant = state.means(name, &self.ssh[other].disk);
            meant && (state.in_sync.contains(name) || state.master.as_ref() == Some(name)) && whole(other)
        };
        let others = || (0..self.ssh.len()).filter(|other| *other != index);
        if !self.register.possible().all(|state| others().any(|other| able(state, other))) {
            return;
        }
        self.crash_ssh(index, false);
        self.ssh[index].lose_disk();
        note!(self, "ssh-{index} has lost its disk");
        self.happened("disks lost");
    }

    fn crash_mirror(&mut self, index: usize, power: bool) {
        self.cut_mirror(index);
        let mirror = &mut self.mirrors[index];
        mirror.running = false;
        if mirror.up.take().is_none() {
            return;
        }
        if power {
            mirror.store.lose_power(&mut self.chance);
        }
        note!(self, "mirror-{index} crashes, power lost: {power}");
    }

    pub fn cut_followers_of(&mut self, master: usize) {
        self.disconnect_standbys(master);
        for index in 0..MIRRORS {
            if self.mirrors[index].wire.as_ref().is_some_and(|wire| wire.master == master) {
                self.cut_mirror(index);
            }
        }
    }

    fn disconnect_standbys(&mut self, master: usize) {
        for index in 0..self.ssh.len() {
            if self.ssh[index].wire.as_ref().is_some_and(|wire| wire.master == master) {
                self.cut_standby(index);
            }
        }
    }

    pub fn cut_standby(&mut self, index: usize) {
        if let Some(wire) = self.ssh[index].wire.take() {
            note!(self, "ssh-{index} is cut off");
            self.forget_standby(wire.master, index);
        }
    }

    pub fn cut_mirror(&mut self, index: usize) {
        let Some(wire) = self.mirrors[index].wire.take() else { return };
        note!(self, "mirror-{index} is cut off");
        let (name, now) = (self.mirrors[index].name.clone(), self.now);
        if let Some(reign) = self.ssh[wire.master].up.as_mut().and_then(|up| up.reign.as_mut()) {
            reign.publishing.core.mirror_lost(&name, now);
        }
    }

    /// Planted, see [`Bug::ReuseOffset`].
    pub fn restart_with_a_shorter_log(&mut self, index: usize) {
        debug_assert_eq!(self.bug, Some(Bug::ReuseOffset));
        self.crash_ssh(index, false);
        self.ssh[index].disks.replication.forget_last();
        self.restart_all();
    }
}
