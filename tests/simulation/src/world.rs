//! Everything there is, and the choice of the next step.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protocol::LogName;

use crate::balancer::Balancer;
use crate::chance::Chance;
use crate::mirror::Mirror;
use crate::nodes::{Clock, Nodes, OPERATORS};
use crate::operators::Operator;
use crate::register::Register;
use crate::ssh::Ssh;
use crate::trouble::Trouble;
use crate::truth::Truth;
use crate::{Bug, Statistics, Violation};

/// At most: every other seed has one less.
pub const SSH: usize = 3;
pub const MIRRORS: usize = 3;
const STEPS: usize = 2_000;
/// Rounds without faults in which everybody finds everybody.
const SETUP_ROUNDS: usize = 6;
const TRACE_LINES: usize = 120;

pub struct World {
    pub seed: u64,
    /// Whether standbys are asked to end: in every fifth run. What the others find keeps its seed.
    pub leaves: bool,
    pub bug: Option<Bug>,
    pub chance: Chance,
    pub trouble: Trouble,
    pub now: Duration,
    pub register: Register,
    pub operators: [Operator; OPERATORS],
    pub nodes: Nodes,
    pub ssh: Vec<Ssh>,
    pub mirrors: [Mirror; MIRRORS],
    pub balancer: Balancer,
    pub truth: Truth,
    /// Records that a client was told of, by offset.
    pub acknowledged: BTreeMap<protocol::Offset, Vec<u8>>,
    /// When a decider has forgotten what was, or its clock has jumped.
    pub hasty: Vec<Duration>,
    pub faults: bool,
    pub violation: Option<String>,
    pub statistics: Statistics,
    tracing: bool,
    trace: VecDeque<String>,
}

/// Notes what happens, at no cost unless somebody will read it.
macro_rules! note {
    ($world:expr, $($words:tt)*) => {
        if $world.is_tracing() {
            $world.note(format!($($words)*));
        }
    };
}
pub(crate) use note;

impl World {
    pub fn new(seed: u64, bug: Option<Bug>, tracing: bool) -> World {
        let mut chance = Chance::new(seed);
        let trouble = Trouble::any(&mut chance);
        let mut clock = || Clock::new(80 + 10 * chance.below(5) as u32);
        let ssh: Vec<Ssh> = (0..SSH - (seed % 2) as usize).map(|index| Ssh::new(index, clock())).collect();
        let operators = std::array::from_fn(|_| Operator::new(clock()));
        World {
            seed,
            leaves: seed.is_multiple_of(5),
            bug,
            chance,
            trouble,
            now: Duration::ZERO,
            register: Register::new(first_register(&ssh)),
            operators,
            nodes: Nodes::default(),
            ssh,
            mirrors: std::array::from_fn(Mirror::new),
            balancer: Balancer::default(),
            truth: Truth::default(),
            acknowledged: BTreeMap::new(),
            hasty: Vec::new(),
            faults: true,
            violation: None,
            statistics: Statistics::default(),
            tracing,
            trace: VecDeque::new(),
        }
    }

    pub fn run(mut self) -> Result<Statistics, Box<Violation>> {
        if self.bug == Some(Bug::ApplyOutOfOrder) {
            self.mirrors[0].store.out_of_order = true;
        }
        (0..SETUP_ROUNDS).for_each(|_| self.round());
        while self.statistics.steps < STEPS && self.violation.is_none() {
            self.statistics.steps += 1;
            self.step();
        }
        self.drain();
        match self.violation {
            None => Ok(self.statistics),
            Some(what) => {
                let (seed, step) = (self.seed, self.statistics.steps);
                Err(Box::new(Violation { seed, step, what, trace: self.trace.into() }))
            }
        }
    }

    fn step(&mut self) {
        if self.trouble != Trouble::Anything && self.chance.one_in(3) {
            return self.step_in_trouble();
        }
        match self.chance.below(100) {
            0..11 => self.client(),
            11..29 => self.ssh_disk(),
            29..46 => self.network(),
            46..50 => {
                let index = self.any_ssh();
                self.work_of_ssh(index);
            }
            50..70 => self.mirror_lanes(),
            70..76 => self.ssh_lanes(),
            76..83 => self.aggregate(),
            83..88 => self.balance(),
            88..91 => self.pass_time(),
            91 => self.checkpoint(),
            92..98 => self.govern(),
            98 => self.fault(),
            _ => self.disturb(),
        }
    }

    /// Promotions and members that come back are many, and the faults that go with them.
    fn step_in_trouble(&mut self) {
        match self.chance.below(12) {
            0 => self.trouble(),
            1..6 => {
                let index = self.any_ssh();
                self.work_of_ssh(index);
            }
            _ => self.govern(),
        }
    }

    /// Governs who is master, and with whom.
    fn govern(&mut self) {
        let index = self.any_ssh();
        match self.chance.below(8) {
            0..2 => self.open_master(index),
            2..5 => self.keep(index),
            5 => self.late_write(),
            which => self.operate(which - 6),
        }
        self.check_pace();
    }

    pub fn any_ssh(&mut self) -> usize {
        self.chance.below(self.ssh.len())
    }

    pub fn any_mirror(&mut self) -> usize {
        self.chance.below(MIRRORS)
    }

    pub fn any_log(&mut self) -> LogName {
        if self.chance.one_in(2) { LogName::Replication } else { LogName::Publication }
    }

    fn pass_time(&mut self) {
        let milliseconds = if self.chance.one_in(6) { 2_000 } else { 150 };
        let passed = self.chance.below(milliseconds) as u64;
        self.now += Duration::from_millis(passed);
    }

    pub fn happened(&mut self, what: &'static str) {
        if self.faults {
            *self.statistics.happened.entry(what).or_default() += 1;
        }
    }

    pub fn is_tracing(&self) -> bool {
        self.tracing
    }

    pub fn note(&mut self, words: String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:4} {:6.3} {words}", self.statistics.steps, self.now.as_secs_f64()));
    }

    /// Only the first broken promise is told.
    pub fn broken(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub fn expect(&mut self, result: Result<(), String>) {
        if let Err(what) = result {
            self.broken(what);
        }
    }
}

/// As its maker leaves it: the first instance to be master, the others in its set, and no disk known yet.
fn first_register(ssh: &[Ssh]) -> register::State {
    let names = ssh.iter().map(|ssh| ssh.name.clone());
    register::State { master: names.clone().next(), in_sync: names.skip(1).collect(), ..register::State::default() }
}
