//! Those who promote: each with its own memory, its own clock, and its own idea of how things are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use failover::decide::backoff::is_weak;
use failover::{InstanceReport, LogEnd, Memory, Observed, Policy, Step, Wish};
use log::core::Event;
use protocol::status::Role;
use protocol::{Generation, InstanceName, LogName};
use register::{State, Version};

use crate::Bug;
use crate::nodes::{Clock, Node};
use crate::world::{World, note};

/// Short, so that promotions are many.
const POLICY: Policy = Policy {
    enabled: true,
    detection: Duration::from_millis(1_500),
    min_interval: Duration::from_secs(4),
    shared: None,
};
/// After a promotion on a weak word the next such one takes twice the silence: so many in that time, as the fastest
/// clock measures it, whatever the network does.
const MOST_HINTS: usize = 1;
const UNABLE_SECONDS: u64 = 1;
const FASTEST_PERCENT: u32 = 120;

pub struct Operator {
    memory: Memory,
    answers: BTreeMap<InstanceName, (Duration, InstanceReport)>,
    pub clock: Clock,
}

impl Operator {
    pub fn new(clock: Clock) -> Operator {
        Operator { memory: Memory::default(), answers: BTreeMap::new(), clock }
    }
}

impl World {
    /// One look at everything, and what follows from it.
    pub fn operate(&mut self, which: usize) {
        let node = Node::Operator(which);
        if self.is_paused(node) {
            return;
        }
        // Another process takes over, which remembers nothing.
        if self.faults && self.chance.one_in(60) {
            self.operators[which].memory = Memory::default();
            self.hasty.push(self.now);
        }
        let ended = self.ask_instances(which);
        let register = self.read_register(node);
        let (wish, answers) = (self.wish_for_master(), self.operators[which].answers.clone());
        let mut observed = Observed { register, answers, ended, wish, ..Observed::default() };
        if self.bug == Some(Bug::PromoteOutOfSync) {
            self.take_everybody_for_in_sync(&mut observed);
        }
        let now = self.clock(node);
        let min_interval = match self.bug {
            Some(Bug::BelieveSilenceAtOnce) => Duration::ZERO,
            _ => POLICY.min_interval,
        };
        let policy = Policy { min_interval, ..POLICY };
        let step = failover::decide(now, &observed, &policy, &mut self.operators[which].memory);
        match step {
            Step::Nothing | Step::Wait(_) | Step::Drain(_) => {}
            Step::Freeze { expected, state, why } => {
                note!(self, "{node:?} freezes: {why}");
                let at = self.now.as_millis() as u64;
                let why = why.to_string();
                if self.write_as_operator(node, &expected, state.begun(why.clone(), at)) && is_weak(&why) {
                    self.happened("promotions on weak words");
                }
            }
            Step::Name { expected, state, proof } => {
                note!(self, "{node:?} names {:?}: {proof}", state.master);
                if self.write_as_operator(node, &expected, state) {
                    self.happened("promotions");
                }
            }
            Step::Withdraw { expected, state } => {
                if self.write_as_operator(node, &expected, state) {
                    self.happened("withdrawn promotions");
                }
            }
            Step::Seal { generation, members, .. } => self.seal(which, generation, &members),
        }
    }

    /// A network alone does not make masters change place all the time. A decider that forgets what was, or whose
    /// clock jumps, may do so once more.
    pub fn check_pace(&mut self) {
        let from = self.now.saturating_sub(POLICY.detection * 2 * 100 / FASTEST_PERCENT);
        let recent = |times: &[Duration]| times.iter().filter(|at| **at > from).count();
        let (hints, hasty) = (recent(self.register.hints()), recent(&self.hasty));
        if hints > MOST_HINTS + hasty {
            self.broken(format!("{hints} promotions on weak words since {from:?}, {hasty} times a decider forgot"));
        }
    }

    fn write_as_operator(&mut self, node: Node, expected: &Version, state: State) -> bool {
        self.write_register(node, expected, state).is_ok()
    }

    /// Answers whose processes are seen to have ended.
    fn ask_instances(&mut self, which: usize) -> BTreeSet<InstanceName> {
        let node = Node::Operator(which);
        let now = self.clock(node);
        let mut ended = BTreeSet::new();
        for index in 0..self.ssh.len() {
            if !self.reaches(node, Node::Ssh(index)) || self.is_paused(Node::Ssh(index)) {
                continue;
            }
            let name = self.ssh[index].name.clone();
            match self.instance_report(index) {
                Some(report) => _ = self.operators[which].answers.insert(name, (now, report)),
                None => _ = ended.insert(name),
            }
        }
        ended
    }

    fn instance_report(&self, index: usize) -> Option<InstanceReport> {
        let ssh = &self.ssh[index];
        let up = ssh.up.as_ref()?;
        let end = |log: LogName| {
            let view = up.logs[log].view();
            LogEnd { generation: view.generations.last(), offset: view.generations.end() }
        };
        let reign = up.reign.as_ref().map(|reign| reign.generation);
        let heard = ssh.heard.filter(|_| reign.is_none());
        Some(InstanceReport {
            name: ssh.name.clone(),
            disk: Some(ssh.disk.clone()),
            role: if reign.is_some() { Role::Master } else { Role::Standby },
            generation: reign.or(heard.map(|(generation, _)| generation)).unwrap_or(Generation(0)),
            sealed: if self.bug == Some(Bug::SkipSeal) { Generation(u64::MAX) } else { ssh.sealed },
            replication: end(LogName::Replication),
            publication: end(LogName::Publication),
            heard: heard.map(|(_, at)| (self.clock(Node::Ssh(index)).saturating_sub(at)).as_millis() as u64),
            open: reign.is_some(),
            released: false,
            unable: self.is_unable(index).then(|| "pushes fail".to_owned()),
        })
    }

    /// In every seventh run one instance after another finds that pushes fail on it, and sometimes all do.
    fn is_unable(&self, index: usize) -> bool {
        let turn = self.now.as_secs() / UNABLE_SECONDS;
        let its = turn % 4 == 3 || turn % self.ssh.len() as u64 == index as u64;
        self.faults && self.seed % 7 == 3 && its
    }

    fn seal(&mut self, which: usize, generation: Generation, members: &BTreeSet<InstanceName>) {
        let node = Node::Operator(which);
        let now = self.clock(node);
        for index in 0..self.ssh.len() {
            let asked = members.contains(&self.ssh[index].name) && self.reaches(node, Node::Ssh(index));
            if !asked || self.is_paused(Node::Ssh(index)) || self.ssh[index].up.is_none() {
                continue;
            }
            note!(self, "ssh-{index} is sealed with generation {generation}");
            self.raise_seal(index, generation);
            // The answer may be lost; the next look has it.
            if let Some(report) = self.instance_report(index).filter(|_| !self.faults || !self.chance.one_in(5)) {
                self.operators[which].answers.insert(report.name.clone(), (now, report));
            }
        }
    }

    /// Raises the seal. What follows an older generation follows it no more.
    pub fn raise_seal(&mut self, index: usize, generation: Generation) {
        if self.bug == Some(Bug::SkipSeal) {
            return;
        }
        let ssh = &mut self.ssh[index];
        ssh.sealed = ssh.sealed.max(generation);
        if ssh.wire.as_ref().is_some_and(|wire| wire.generation < generation) {
            self.cut_standby(index);
        }
    }

    /// Now and then a person, or a rollout, wants another master; the old one has drained.
    fn wish_for_master(&mut self) -> Option<Wish> {
        let wished = self.faults && self.chance.one_in(40);
        let to = self.any_ssh();
        wished.then(|| Wish { to: self.ssh[to].name.clone(), drained: true })
    }

    /// Planted, see [`Bug::PromoteOutOfSync`].
    fn take_everybody_for_in_sync(&self, observed: &mut Observed) {
        let Some(register) = &mut observed.register else { return };
        let others = self.ssh.iter().filter(|ssh| Some(&ssh.name) != register.value.master.as_ref());
        let members = others.map(|ssh| (ssh.name.clone(), ssh.disk.clone())).collect();
        register.value = register.value.with_set(&members);
    }

    /// A master that is over stops at once; its process starts again.
    pub fn end_reign(&mut self, index: usize) {
        note!(self, "ssh-{index} is deposed");
        self.happened("masters deposed");
        if let Some(up) = &mut self.ssh[index].up {
            LogName::ALL.into_iter().for_each(|log| up.handle(log, Event::Follow));
        }
        self.crash_ssh(index, false);
        self.restart_ssh(index);
    }
}
