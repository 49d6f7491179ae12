//! Nodes: who reaches whom, who stands still, and whose clock says what.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::world::{World, note};

/// Operators, or supervisors: every one may act at any time.
pub const OPERATORS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Ssh(usize),
    Operator(usize),
    Register,
}

/// Runs at its own pace, and jumps now and then, as after a pause of the whole machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    percent: u32,
    ahead: Duration,
}

#[derive(Default)]
pub struct Nodes {
    cut: BTreeSet<(Node, Node)>,
    paused: BTreeSet<Node>,
}

impl Nodes {
    pub fn stands_still(&self, node: Node) -> bool {
        self.paused.contains(&node)
    }
}

impl Clock {
    pub fn new(percent: u32) -> Clock {
        Clock { percent, ahead: Duration::ZERO }
    }

    pub fn at(&self, now: Duration) -> Duration {
        now * self.percent / 100 + self.ahead
    }
}

fn pair(a: Node, b: Node) -> (Node, Node) {
    (a.min(b), a.max(b))
}

impl World {
    pub fn reaches(&self, from: Node, to: Node) -> bool {
        !self.nodes.cut.contains(&pair(from, to))
    }

    pub fn is_paused(&self, node: Node) -> bool {
        self.nodes.stands_still(node)
    }

    pub fn clock(&self, node: Node) -> Duration {
        let clock = match node {
            Node::Ssh(index) => self.ssh[index].clock,
            Node::Operator(index) => self.operators[index].clock,
            Node::Register => Clock::new(100),
        };
        clock.at(self.now)
    }

    fn any_node(&mut self) -> Node {
        match self.chance.below(self.ssh.len() + OPERATORS) {
            index if index < self.ssh.len() => Node::Ssh(index),
            index => Node::Operator(index - self.ssh.len()),
        }
    }

    /// A link is cut, a process stands still, the API server is away, a clock jumps; or all that is over.
    pub fn disturb(&mut self) {
        let node = self.any_node();
        match self.chance.below(12) {
            0..3 => {
                let other = if self.chance.one_in(2) { Node::Register } else { self.any_node() };
                if node != other {
                    self.cut_off(node, other);
                }
            }
            3 => self.pause(node),
            4 => {
                self.register.down = true;
                note!(self, "the API server is down");
                self.happened("API server outages");
            }
            5 => {
                let seconds = Duration::from_secs(self.chance.below(8) as u64);
                note!(self, "the clock of {node:?} jumps by {seconds:?}");
                self.happened("clocks jumped");
                match node {
                    Node::Ssh(index) => self.ssh[index].clock.ahead += seconds,
                    Node::Operator(index) => {
                        self.operators[index].clock.ahead += seconds;
                        self.hasty.push(self.now);
                    }
                    Node::Register => {}
                }
            }
            6..8 => self.register.down = false,
            8 | 9 => self.wake(),
            _ => self.nodes.cut.clear(),
        }
    }

    pub fn cut_off(&mut self, node: Node, other: Node) {
        if self.nodes.cut.insert(pair(node, other)) {
            note!(self, "{node:?} and {other:?} are cut off from each other");
            self.happened("links cut");
            self.break_wires();
        }
    }

    pub fn pause(&mut self, node: Node) {
        note!(self, "{node:?} stands still");
        self.happened("processes paused");
        self.nodes.paused.insert(node);
    }

    pub fn wake(&mut self) {
        note!(self, "nobody stands still any more");
        self.nodes.paused.clear();
    }

    pub fn calm(&mut self) {
        (self.nodes, self.register.down) = (Nodes::default(), false);
    }

    /// A stream does not outlive its link for long.
    fn break_wires(&mut self) {
        for index in 0..self.ssh.len() {
            let Some(master) = self.ssh[index].wire.as_ref().map(|wire| wire.master) else { continue };
            if !self.reaches(Node::Ssh(index), Node::Ssh(master)) {
                self.cut_standby(index);
            }
        }
    }
}
