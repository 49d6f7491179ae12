//! Three instances under random appends, replication, refused writes, power loss and promotion. Whatever any master
//! has called committed must stay in the log of every later one.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const STEPS: usize = 400;

/// A mistake planted on purpose: the check must find it.
#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    /// A standby says `Stored` when it has written and not synced.
    AcknowledgeBeforeSync,
    /// The engine reports a sync that did not happen.
    SyncIsALie,
    /// The new master does not wait for the others when it commits what it holds.
    LeadAlone,
    /// A standby keeps its tail when a new master comes.
    NeverTruncate,
}

struct Node {
    core: Core,
    /// As written, and as a power loss leaves it at the worst.
    file: Vec<Entry>,
    disk: usize,
}

struct World {
    random: StdRng,
    bug: Bug,
    nodes: Vec<Node>,
    master: usize,
    generation: u64,
    committed: Vec<Entry>,
    tickets: u64,
}

fn name(node: usize) -> DiskId {
    format!("ssh-{node}").parse().unwrap()
}

impl World {
    fn new(seed: u64, bug: Bug) -> World {
        let node = || Node { core: holding(&[]), file: Vec::new(), disk: 0 };
        let nodes = vec![node(), node(), node()];
        let random = StdRng::seed_from_u64(seed);
        let mut world = World { random, bug, nodes, master: 0, generation: 0, committed: vec![], tickets: 0 };
        world.promote(0);
        world
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn promote(&mut self, to: usize) {
        self.generation += 1;
        self.nodes[self.master].core.handle(Event::Follow);
        (0..3).for_each(|node| self.drive(node, usize::MAX));
        self.master = to;
        let others = (0..3).filter(|node| *node != to && self.bug != Bug::LeadAlone).map(name).collect();
        let ticket = self.ticket();
        let generation = Generation(self.generation);
        self.nodes[to].core.handle(Event::Lead { ticket, generation, in_sync: others });
        self.drive(to, usize::MAX);
    }

    /// Carries out up to that many commands.
    fn drive(&mut self, at: usize, commands: usize) {
        for _ in 0..commands {
            let node = &mut self.nodes[at];
            let Some(command) = node.core.poll() else { return };
            let event = match command {
                Command::Appended { .. } | Command::Answered { .. } => continue,
                Command::Write { .. } if self.random.random_bool(0.1) => {
                    Event::Written(Err(WriteFailure::Full("full".into())))
                }
                Command::Write { entries, .. } => {
                    assert_eq!(entries[0].offset.0, node.file.len() as u64 + 1, "a gap");
                    node.file.extend(entries);
                    Event::Written(Ok(()))
                }
                Command::Sync => {
                    if self.bug != Bug::SyncIsALie {
                        node.disk = node.file.len();
                    }
                    Event::Synced
                }
                Command::Truncate { from } => {
                    node.file.truncate(from.0 as usize - 1);
                    node.disk = node.disk.min(node.file.len());
                    Event::Cut
                }
                Command::Reset { .. } | Command::Trim { .. } => panic!("never asked for"),
            };
            node.core.handle(event);
        }
    }

    fn step(&mut self) {
        let (at, standby) = (self.random.random_range(0..3), (self.master + self.random.random_range(1..3)) % 3);
        match self.random.random_range(0..100) {
            0..30 => {
                let records = (0..self.random.random_range(1..4)).map(|_| vec![1, 1, self.random.random()]).collect();
                let (ticket, generation) = (self.ticket(), Generation(self.generation));
                self.nodes[self.master].core.handle(Event::Append { ticket, generation, records });
            }
            30..60 => self.replicate(standby),
            60..75 => self.acknowledge(standby),
            75..96 => {
                let commands = self.random.random_range(1..6);
                self.drive(at, commands);
            }
            96..98 => {
                self.lose_power(at);
                if at == self.master {
                    let to = self.random.random_range(0..3);
                    self.promote(to);
                }
            }
            _ => {
                let to = self.random.random_range(0..3);
                self.promote(to);
            }
        }
    }

    fn replicate(&mut self, standby: usize) {
        self.drive(standby, usize::MAX);
        while self.bug != Bug::NeverTruncate {
            let own = self.nodes[standby].core.view().generations;
            let master = self.nodes[self.master].core.view().generations;
            let Some(from) = master.fork(own.end().next(), own.last()) else { break };
            let ticket = self.ticket();
            self.nodes[standby].core.handle(Event::Truncate { ticket, from, cut: Cut::Uncommitted });
            self.drive(standby, usize::MAX);
            assert!(self.nodes[standby].core.view().generations.end() < from, "it refused to truncate at {from}");
        }
        let have = self.nodes[standby].file.len();
        let count = self.random.random_range(0..4);
        let master = &self.nodes[self.master];
        let entries: Vec<_> = master.file.iter().skip(have).take(count).cloned().collect();
        let through = master.core.view().committed;
        let ticket = self.ticket();
        self.nodes[standby].core.handle(Event::Store { ticket, entries });
        self.nodes[standby].core.handle(Event::Announced { through });
        if self.random.random_bool(0.5) {
            let ticket = self.ticket();
            self.nodes[standby].core.handle(Event::Sync { ticket });
        }
    }

    /// Only of a connection to this master, that is after the two logs agreed.
    fn acknowledge(&mut self, standby: usize) {
        let (own, master) = (self.nodes[standby].core.view(), self.nodes[self.master].core.view());
        let (end, last) = (own.generations.end(), own.generations.last());
        if self.bug != Bug::NeverTruncate && master.generations.fork(end.next(), last).is_some() {
            return;
        }
        let through = if self.bug == Bug::AcknowledgeBeforeSync { end } else { own.durable };
        let (generation, member) = (Generation(self.generation), name(standby));
        self.nodes[self.master].core.handle(Event::Acknowledged { generation, member, through });
    }

    fn lose_power(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let left = self.random.random_range(node.disk..=node.file.len());
        node.file.truncate(left);
        node.disk = left;
        let generations: Vec<_> = node.file.iter().map(|entry| entry.generation.0).collect();
        node.core = holding(&generations);
    }

    /// Answers what is broken.
    fn check(&mut self) -> Result<(), String> {
        for (at, node) in self.nodes.iter().enumerate() {
            let view = node.core.view();
            let file = &node.file;
            if view.generations.end().0 != file.len() as u64 || view.committed > view.durable {
                return Err(format!("instance {at} does not know its own log"));
            }
            let committed = &file[..view.committed.0 as usize];
            let known = committed.len().min(self.committed.len());
            if committed[..known] != self.committed[..known] {
                return Err(format!("instance {at} has other committed records"));
            }
            if at == self.master && committed.len() > known {
                self.committed.extend_from_slice(&committed[known..]);
            }
            let known = file.len().min(self.committed.len());
            if at == self.master && (file.len() < self.committed.len() || file[..known] != self.committed[..known]) {
                return Err("the master has lost committed records".into());
            }
        }
        Ok(())
    }
}

/// How many records were committed, or what broke.
fn explore(seed: u64, bug: Bug) -> Result<usize, String> {
    let mut world = World::new(seed, bug);
    for step in 0..STEPS {
        world.step();
        world.check().map_err(|why| format!("seed {seed}, step {step}: {why}"))?;
    }
    Ok(world.committed.len())
}

#[test]
fn committed_records_survive() {
    let committed: usize = (0..300).map(|seed| explore(seed, Bug::None).unwrap()).sum();
    assert!(committed > 300 * 20, "only {committed} records were committed: the world is too still to prove anything");
}

#[test]
fn planted_bugs_are_found() {
    let bugs = [
        ("AcknowledgeBeforeSync", Bug::AcknowledgeBeforeSync),
        ("SyncIsALie", Bug::SyncIsALie),
        ("LeadAlone", Bug::LeadAlone),
        ("NeverTruncate", Bug::NeverTruncate),
    ];
    for (name, bug) in bugs {
        // Some mistakes make the next step impossible instead of breaking a promise.
        let explore = |seed| std::panic::catch_unwind(|| explore(seed, bug)).unwrap_or(Err("impossible".into()));
        let found = (0..300).find_map(|seed| explore(seed).err());
        assert!(found.is_some(), "{name} was not found");
        println!("{name}: {}", found.unwrap_or_default());
    }
}
