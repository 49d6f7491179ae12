//! One mirror: its repositories, and what it tells the master.

use std::collections::{BTreeMap, BTreeSet};

use follower::lanes::{Checkpoint, Lanes, Mode, Options, Origin};
use protocol::stream::{FromFollower, Progress};
use protocol::{CreationId, InstanceName, Offset};

use crate::lanes::Work;
use crate::store::Store;
use crate::wire::{WINDOW, Wire};
use crate::world::{SSH, World, note};

pub struct Mirror {
    pub name: InstanceName,
    pub store: Store,
    pub checkpoint: Option<Checkpoint>,
    /// The process runs; as a newcomer it has no lanes until it has a snapshot.
    pub running: bool,
    pub up: Option<Up>,
    pub wire: Option<Wire>,
    /// The most that clients were shown.
    pub served: BTreeMap<CreationId, Offset>,
    /// Repositories whose quarantine each master was told of last.
    pub told_quarantined: [BTreeSet<CreationId>; SSH],
    /// Released while this mirror's quarantine was known: it need not have them.
    pub exempt: BTreeMap<CreationId, Offset>,
}

pub struct Up {
    pub work: Work,
    told: Progress,
    /// Ready: it has said so in this life.
    pub ready: bool,
}

impl Mirror {
    pub fn new(index: usize) -> Mirror {
        Mirror {
            name: format!("mirror-{index}").try_into().unwrap_or_else(|_| unreachable!("a fit name")),
            store: Store::default(),
            checkpoint: None,
            running: true,
            up: None,
            wire: None,
            served: BTreeMap::new(),
            told_quarantined: Default::default(),
            exempt: BTreeMap::new(),
        }
    }
}

impl World {
    pub fn start_mirror(&mut self, index: usize) {
        if !self.mirrors[index].running || self.mirrors[index].up.is_some() {
            return;
        }
        let (start, origin) = match self.mirrors[index].checkpoint.clone() {
            Some(checkpoint) => (checkpoint, Origin::Checkpoint),
            None => match self.snapshot(index) {
                Some(snapshot) => (snapshot, Origin::Snapshot),
                None => return,
            },
        };
        note!(self, "mirror-{index} starts after {} / {}, {origin:?}", start.replication, start.publication);
        let options = crate::lanes::options(Options::new(Mode::TwoStep, self.mirrors[index].name.clone()));
        let work = Work::new(Lanes::new(options, start, origin));
        let store = &mut self.mirrors[index].store;
        for id in work.lanes.leftovers(store.live.keys().copied()) {
            store.live.remove(&id);
        }
        self.mirrors[index].up = Some(Up { work, told: Progress::default(), ready: false });
    }

    /// Where a newcomer starts, by the master's word.
    fn snapshot(&self, index: usize) -> Option<Checkpoint> {
        let master = self.master()?;
        let up = self.ssh[master].up.as_ref()?;
        let reign = up.reign.as_ref().filter(|reign| reign.publishing.knows_the_logs())?;
        let (replication, publication) = reign.publishing.core.position();
        Some(Checkpoint {
            replication,
            publication,
            registry: reign.publishing.registry().clone(),
            unreleased: reign.publishing.core.unreleased(),
            active: reign.publishing.core.active().contains(&self.mirrors[index].name),
        })
    }

    pub fn mirror_lanes(&mut self) {
        let index = self.any_mirror();
        self.start_mirror(index);
        let Some(up) = &mut self.mirrors[index].up else { return };
        up.work.start(self.now);
        let (count, which) = (up.work.actions.len(), self.chance.below(up.work.actions.len()));
        if count > 0 {
            self.act_on_mirror(index, which);
        }
        self.tell_progress(index);
        self.observe_ready(index);
    }

    pub fn tell_progress(&mut self, index: usize) {
        let mirror = &mut self.mirrors[index];
        let (Some(up), Some(wire)) = (&mut mirror.up, &mut mirror.wire) else { return };
        let Some(progress) = up.work.lanes.progress() else { return };
        if wire.up.len() >= WINDOW || (progress == up.told && !wire.up.is_empty()) {
            return;
        }
        let checkpoint = mirror.checkpoint.as_ref();
        let replication_checkpoint = checkpoint.map_or(Offset::ZERO, |checkpoint| checkpoint.replication);
        let publication_checkpoint = checkpoint.map_or(Offset::ZERO, |checkpoint| checkpoint.publication);
        let progress = Progress { replication_checkpoint, publication_checkpoint, ..progress };
        if progress != up.told {
            up.told = progress.clone();
            wire.up.push_back(FromFollower::Progress(progress));
        }
    }

    /// A new connection is told everything again.
    pub fn forget_told(&mut self, index: usize) {
        if let Some(up) = &mut self.mirrors[index].up {
            up.told = Progress::default();
        }
    }

    pub fn observe_ready(&mut self, index: usize) {
        let Some(up) = &mut self.mirrors[index].up else { return };
        let ready = up.work.lanes.ready();
        let changed = std::mem::replace(&mut up.ready, ready) != ready;
        if changed {
            note!(self, "mirror-{index} ready: {ready}");
        }
    }

    pub fn checkpoint(&mut self) {
        if self.chance.one_in(3) {
            let index = self.any_ssh();
            let ssh = &mut self.ssh[index];
            if let Some(checkpoint) = ssh.up.as_mut().and_then(|up| up.work.lanes.checkpoint()) {
                ssh.store.sync();
                ssh.checkpoint = checkpoint;
            }
            return;
        }
        let index = self.any_mirror();
        let mirror = &mut self.mirrors[index];
        if let Some(checkpoint) = mirror.up.as_mut().and_then(|up| up.work.lanes.checkpoint()) {
            mirror.store.sync();
            note!(self, "mirror-{index} checkpoint {} / {}", checkpoint.replication, checkpoint.publication);
            self.mirrors[index].checkpoint = Some(checkpoint);
        }
    }
}
