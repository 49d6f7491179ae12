//! What goes wrong.

use protocol::LogName;

use crate::Bug;
use crate::world::{MIRRORS, SSH, World, note};

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
            _ => self.restart_all(),
        }
    }

    pub fn restart_all(&mut self) {
        for index in 0..SSH {
            let ssh = &mut self.ssh[index];
            if ssh.up.is_none() {
                ssh.up = Some(crate::ssh::start(&ssh.name, &mut ssh.disks, ssh.checkpoint.clone()));
                note!(self, "ssh-{index} starts");
            }
        }
        for index in 0..MIRRORS {
            self.mirrors[index].running = true;
            self.start_mirror(index);
        }
    }

    pub fn crash_ssh(&mut self, index: usize, power: bool) {
        if self.ssh[index].up.take().is_none() {
            return;
        }
        note!(self, "ssh-{index} crashes, power lost: {power}");
        self.ssh[index].wire = None;
        self.cut_followers_of(index);
        let ssh = &mut self.ssh[index];
        if power {
            ssh.disks.iter_mut().for_each(|disk| disk.lose_power(&mut self.chance));
            ssh.store.lose_power(&mut self.chance);
        }
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
        self.disconnect_standby(master);
        for index in 0..MIRRORS {
            if self.mirrors[index].wire.as_ref().is_some_and(|wire| wire.master == master) {
                self.cut_mirror(index);
            }
        }
    }

    pub fn disconnect_standby(&mut self, master: usize) {
        if self.ssh[1 - master].wire.as_ref().is_some_and(|wire| wire.master == master) {
            self.cut_standby(1 - master);
        }
    }

    pub fn cut_standby(&mut self, index: usize) {
        if self.ssh[index].wire.take().is_some() {
            note!(self, "ssh-{index} is cut off");
        }
    }

    pub fn cut_mirror(&mut self, index: usize) {
        let Some(wire) = self.mirrors[index].wire.take() else { return };
        note!(self, "mirror-{index} is cut off");
        let (name, now) = (self.mirrors[index].name.clone(), self.now);
        if let Some(reign) = self.ssh[wire.master].up.as_mut().and_then(|up| up.reign.as_mut()) {
            reign.aggregator.mirror_lost(&name, now);
        }
    }

    /// Planted, see [`Bug::ReuseOffset`].
    pub fn restart_with_a_shorter_log(&mut self, index: usize) {
        debug_assert_eq!(self.bug, Some(Bug::ReuseOffset));
        self.crash_ssh(index, false);
        self.ssh[index].disks[LogName::Replication as usize].forget_last();
        self.restart_all();
    }
}
