//! Masters: how a reign begins, and how its keeper changes the in-sync set.

use std::collections::{BTreeMap, BTreeSet};

use failover::keeper::{MasterView, Members, Outcome, Standby, Step};
use failover::{Keeper, requirement};
use log::core::Event;
use protocol::{Generation, LogName, Offset, PerLog};
use register::{State, Version, Versioned};

use crate::Bug;
use crate::nodes::Node;
use crate::ssh::{Meant, Reign};
use crate::world::{World, note};

impl World {
    /// An instance that reads in the register that it is master takes the next generation.
    pub fn open_master(&mut self, index: usize) {
        let node = Node::Ssh(index);
        if self.is_paused(node) || self.ssh[index].up.as_ref().is_none_or(|up| up.reign.is_some()) {
            return;
        }
        let Some(found) = self.read_register(node) else { return };
        let (name, disk) = (self.ssh[index].name.clone(), self.ssh[index].disk.clone());
        if found.value.master.as_ref() != Some(&name) || !found.value.means(&name, &disk) {
            return;
        }
        let state = found.value.opened(&name, &disk);
        let Ok(version) = self.write_register(node, &found.version, state.clone()) else { return };
        self.begin_reign(index, Versioned { version, value: state });
    }

    fn begin_reign(&mut self, index: usize, opened: Versioned<State>) {
        let generation = opened.value.generation;
        note!(self, "ssh-{index} opens generation {generation}, in-sync {:?}", opened.value.in_sync);
        if self.bug == Some(Bug::ReuseOffset) {
            self.restart_with_a_shorter_log(index);
        }
        self.check_holds_all(index);
        self.cut_standby(index);
        self.raise_seal(index, generation);
        let ssh = &mut self.ssh[index];
        let Some(up) = &mut ssh.up else { return };
        let ends = up.logs.as_ref().map(|log| log.view().generations.end());
        let keeper = Keeper::new(ssh.name.clone(), opened, false);
        let in_sync = match self.bug {
            Some(Bug::CommitAloneAfterPromotion) => BTreeSet::new(),
            _ => requirement::disks(keeper.required()),
        };
        up.reign = Some(Reign::new(generation, keeper, ends));
        for log in LogName::ALL {
            let ticket = up.ticket(log, Meant::Nothing);
            up.handle(log, Event::Lead { ticket, generation, in_sync: in_sync.clone() });
            let started = protocol::record::GenerationStarted {
                master: ssh.name.clone(),
                time: protocol::Timestamp(self.now.as_micros() as u64),
            };
            let records = vec![protocol::Record::GenerationStarted(started).encode()];
            let ticket = up.ticket(log, Meant::Nothing);
            up.handle(log, Event::Append { ticket, generation, records });
        }
        self.settle_ssh(index);
    }

    /// One step of the one who keeps the in-sync set.
    pub fn keep(&mut self, index: usize) {
        let node = Node::Ssh(index);
        if self.is_paused(node) {
            return;
        }
        let now = self.clock(node);
        let Some(seen) = self.seen(index) else { return };
        let Some(keeper) = self.keeper(index) else { return };
        match keeper.decide(now, &seen) {
            // Looks now and then whether it is still master.
            Step::Nothing => {
                if self.chance.one_in(3) {
                    self.read_for_keeper(index);
                }
            }
            Step::Read => self.read_for_keeper(index),
            Step::Require(members) => self.require(index, &members),
            Step::Write(expected, state) => self.write_for_keeper(index, &expected, state),
            Step::Deposed => self.end_reign(index),
        }
    }

    fn keeper(&mut self, index: usize) -> Option<&mut Keeper> {
        self.ssh[index].up.as_mut()?.reign.as_mut().map(|reign| &mut reign.keeper)
    }

    fn seen(&self, index: usize) -> Option<MasterView> {
        let up = self.ssh[index].up.as_ref()?;
        let reign = up.reign.as_ref()?;
        let views = up.logs.as_ref().map(log::core::Core::view);
        let ends = views.as_ref().map(|view| view.generations.end());
        let begun = match self.bug {
            Some(Bug::ForgetWhatTheReignBeganWith) => PerLog::default(),
            _ => reign.begun,
        };
        let committed = views.as_ref().map(|view| view.committed);
        Some(MasterView::new(reign.standbys.clone(), ends, committed, begun))
    }

    fn read_for_keeper(&mut self, index: usize) {
        if let Some(found) = self.read_register(Node::Ssh(index))
            && let Some(keeper) = self.keeper(index)
        {
            keeper.read(found);
        }
    }

    fn write_for_keeper(&mut self, index: usize, expected: &Version, state: State) {
        if self.bug == Some(Bug::ShrinkAfterCommit) {
            let named = |name: &protocol::InstanceName| state.in_sync.contains(name);
            let Some(keeper) = self.keeper(index) else { return };
            let fewer: Members = keeper.required().clone().into_iter().filter(|(name, _)| named(name)).collect();
            self.require(index, &fewer);
        }
        let outcome = self.write_register(Node::Ssh(index), expected, state.clone());
        let outcome = match outcome {
            Err(Outcome::Unknown) if self.bug == Some(Bug::ForgetUnansweredWrite) => Err(Outcome::Refused),
            other => other,
        };
        let Some(keeper) = self.keeper(index) else { return };
        let (before, after) = (keeper.in_sync().len(), state.in_sync.len());
        let written = outcome.is_ok();
        keeper.wrote(state, outcome);
        if written && before != after {
            self.happened(if before < after { "standbys in the set again" } else { "standbys out of the set" });
        }
    }

    /// First the rule, then what was said before is counted by it.
    fn require(&mut self, index: usize, members: &Members) {
        note!(self, "ssh-{index} needs {:?}", members.keys().collect::<Vec<_>>());
        let in_sync = requirement::disks(members);
        let Some(up) = &mut self.ssh[index].up else { return };
        let Some(reign) = &up.reign else { return };
        let (generation, standbys) = (reign.generation, reign.standbys.clone());
        for log in LogName::ALL {
            let ticket = up.ticket(log, Meant::Nothing);
            up.handle(log, Event::InSync { ticket, generation, in_sync: in_sync.clone() });
            for Standby { disk, stored, .. } in standbys.values().filter(|standby| in_sync.contains(&standby.disk)) {
                let (member, through) = (disk.clone(), stored[log]);
                up.handle(log, Event::Acknowledged { generation, member, through });
            }
        }
        self.settle_ssh(index);
    }

    /// A standby says how much is on its disk.
    pub fn stored(&mut self, master: usize, standby: usize, log: LogName, through: Offset) {
        let (name, disk) = (self.ssh[standby].name.clone(), self.ssh[standby].disk.clone());
        let Some(up) = &mut self.ssh[master].up else { return };
        let Some(reign) = &mut up.reign else { return };
        reign.noted(&name, &disk).stored[log] = through;
        let generation = reign.generation;
        if requirement::counts(reign.keeper.required(), &name, &disk) || self.bug == Some(Bug::ShrinkAfterCommit) {
            up.handle(log, Event::Acknowledged { generation, member: disk, through });
        }
        self.settle_ssh(master);
    }

    /// A standby says that it is about to end.
    pub fn left(&mut self, master: usize, standby: usize) {
        let (name, disk) = (self.ssh[standby].name.clone(), self.ssh[standby].disk.clone());
        if let Some(reign) = self.ssh[master].up.as_mut().and_then(|up| up.reign.as_mut()) {
            reign.noted(&name, &disk).leaving = true;
            self.happened("standbys left");
        }
    }

    /// The one whom the register names, if it is there and writes.
    pub fn master(&self) -> Option<usize> {
        let state = self.register.state();
        let named = self.ssh.iter().position(|ssh| Some(&ssh.name) == state.master.as_ref())?;
        self.leads(named, state.generation).then_some(named)
    }

    /// Only then it has followers: before `Lead` is answered a cut of its own may still be under way, and what it
    /// sends would be gone the next moment.
    pub fn leads(&self, index: usize, generation: Generation) -> bool {
        let leading = |up: &crate::ssh::Up| up.logs.as_ref().all(|log| log.view().leading == Some(generation));
        self.ssh[index].up.as_ref().is_some_and(leading)
    }

    pub fn forget_standby(&mut self, master: usize, standby: usize) {
        let name = self.ssh[standby].name.clone();
        if let Some(reign) = self.ssh[master].up.as_mut().and_then(|up| up.reign.as_mut()) {
            reign.standbys.remove(&name);
        }
    }
}

pub type Standbys = BTreeMap<protocol::InstanceName, Standby>;
