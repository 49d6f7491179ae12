//! State that the register holds.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{DiskId, Generation, InstanceName};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    pub generation: Generation,
    /// None while a promotion has frozen the register.
    pub master: Option<InstanceName>,
    /// The standbys whose acknowledgement a commit needs.
    pub in_sync: BTreeSet<InstanceName>,
    /// Disks that are meant by each of these names. An instance that comes back with another one is a newcomer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<InstanceName, DiskId>,
    /// Previous master, before the last change of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<InstanceName>,
    /// Written with the change of master itself, so that whoever tells of it later tells the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Box<Promotion>>,
}

/// The newest change of master, as far as it has come. Times are milliseconds since 1970, by the clock of the writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    pub from: Option<InstanceName>,
    /// Why it was begun.
    pub reason: String,
    /// When the register was frozen.
    pub begun: u64,
    /// None: nobody has been named yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// How a promotion was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    pub to: InstanceName,
    /// Proof that the master before could write nothing any more.
    pub proof: String,
    pub at: u64,
}

impl State {
    /// The disk that the register means by this name is this one. Before the first reign no disk is known.
    pub fn means(&self, name: &InstanceName, disk: &DiskId) -> bool {
        match self.disks.get(name) {
            Some(meant) => meant == disk,
            None => self.disks.is_empty(),
        }
    }

    /// Answers who is meant by somebody who says that the master is off, and as master of which generation. Also of a
    /// frozen register, where it may still write.
    pub fn to_fence(&self) -> Option<(InstanceName, Generation)> {
        match &self.master {
            Some(master) => Some((master.clone(), self.generation)),
            None => Some((self.previous.clone()?, Generation(self.generation.0.saturating_sub(1)))),
        }
    }

    /// Without disks of instances that the register does not mean any more.
    fn slim(mut self) -> State {
        let State { master, in_sync, previous, .. } = &self;
        let meant = |name: &InstanceName| {
            in_sync.contains(name)
                || Some(name) == master.as_ref()
                || (master.is_none() && Some(name) == previous.as_ref())
        };
        let keep: BTreeSet<InstanceName> = self.disks.keys().filter(|name| meant(name)).cloned().collect();
        self.disks.retain(|name, _| keep.contains(name));
        self
    }

    /// A promotion begins: the old master can change the register no more.
    pub fn frozen(&self) -> State {
        let previous = self.master.clone().or_else(|| self.previous.clone());
        State { generation: self.generation.next(), master: None, previous, promotion: None, ..self.clone() }.slim()
    }

    /// Tells why it was frozen, and when.
    pub fn begun(self, reason: String, at: u64) -> State {
        let promotion = Promotion { from: self.previous.clone(), reason, begun: at, made: None };
        State { promotion: Some(Box::new(promotion)), ..self }
    }

    /// Tells with which proof its master was named, and when. An older program has frozen it without a word.
    pub fn made(self, proof: String, at: u64) -> State {
        let made = self.master.clone().map(|to| Made { to, proof, at });
        State { promotion: self.promotion.map(|promotion| Box::new(Promotion { made, ..*promotion })), ..self }
    }

    /// A frozen register names its new master. The others of the set stay in it.
    pub fn naming(&self, master: &InstanceName) -> State {
        let in_sync = self.in_sync.iter().filter(|name| *name != master).cloned().collect();
        State { master: Some(master.clone()), in_sync, ..self.clone() }.slim()
    }

    /// A frozen register names its old master again: there was no promotion.
    pub fn withdrawn(&self, old: &InstanceName) -> State {
        State { master: Some(old.clone()), promotion: None, ..self.clone() }
    }

    /// A frozen register of instances that have one volume: its next master opens the disk of the last one.
    pub fn handed_to(&self, master: &InstanceName) -> State {
        let disk = self.previous.as_ref().and_then(|previous| self.disks.get(previous)).cloned();
        let disks = disk.map(|disk| (master.clone(), disk)).into_iter().collect();
        State { master: Some(master.clone()), in_sync: BTreeSet::new(), disks, ..self.clone() }
    }

    /// The next reign of the master that is named, on this disk.
    pub fn opened(&self, master: &InstanceName, disk: &DiskId) -> State {
        let mut disks = self.disks.clone();
        disks.insert(master.clone(), disk.clone());
        State { generation: self.generation.next(), master: Some(master.clone()), disks, ..self.clone() }.slim()
    }

    /// With this in-sync set, each member with the disk that it has now.
    pub fn with_set(&self, members: &BTreeMap<InstanceName, DiskId>) -> State {
        let mut disks = self.disks.clone();
        disks.extend(members.iter().map(|(name, disk)| (name.clone(), disk.clone())));
        State { in_sync: members.keys().cloned().collect(), disks, ..self.clone() }.slim()
    }
}

/// Another one after each write. A write names the version that it read, so that two writers cannot both win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// Nothing: what the first write of a file expects. Nothing has been written yet.
    None,
    /// The number of the write that made the file.
    File(u64),
    /// The Lease's `resourceVersion`.
    Lease(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    pub version: Version,
    pub value: T,
}
