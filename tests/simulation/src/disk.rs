//! One log on one instance's disk: what is synced survives a power loss, of the rest a prefix may.

use protocol::{Entry, Generation, Offset};

use crate::chance::Chance;

#[derive(Default)]
pub struct LogDisk {
    entries: Vec<Entry>,
    synced: usize,
}

impl LogDisk {
    pub fn get(&self, offset: Offset) -> Option<&Entry> {
        self.entries.get(usize::try_from(offset.0).ok()?.checked_sub(1)?)
    }

    pub fn write(&mut self, entries: Vec<Entry>) {
        self.entries.extend(entries);
    }

    pub fn sync(&mut self) {
        self.synced = self.entries.len();
    }

    pub fn truncate(&mut self, from: Offset) {
        self.entries.truncate(from.previous().0 as usize);
        self.synced = self.synced.min(self.entries.len());
    }

    /// The half-written record at the end is found by its checksum and cut off when the log is opened.
    pub fn lose_power(&mut self, chance: &mut Chance) {
        let unsynced = self.entries.len() - self.synced;
        self.entries.truncate(self.synced + chance.below(unsynced + 1));
    }

    /// Opening scans the log and makes all of it durable.
    pub fn open(&mut self) -> log::Generations {
        self.sync();
        let mut generations = log::Generations::empty(Offset(1), Generation(0));
        self.entries.iter().for_each(|entry| generations.push(entry.generation));
        generations
    }

    pub fn forget_last(&mut self) {
        self.entries.pop();
        self.sync();
    }
}
