//! One SSH instance: two logs with their cores, its repositories, and as master the aggregator.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregator::Publishing;
use failover::keeper::Standby;
use follower::lanes::{Checkpoint, Lanes, Mode, Options, Origin};
use log::core::{Command, Core, Event, Ticket};
use log::{AppendError, WriteFailure};
use protocol::stream::FromFollower;
use protocol::{DiskId, Entry, Generation, InstanceName, LogName, Offset, PerLog, Registry};

use crate::Bug;
use crate::disk::LogDisk;
use crate::lanes::Work;
use crate::nodes::{Clock, Node};
use crate::reigns::Standbys;
use crate::store::Store;
use crate::wire::Wire;
use crate::world::{World, note};

pub struct Ssh {
    pub name: InstanceName,
    pub disk: DiskId,
    pub disks: PerLog<LogDisk>,
    pub store: Store,
    pub checkpoint: Checkpoint,
    /// Follows no master of an older generation.
    pub sealed: Generation,
    pub up: Option<Up>,
    /// As standby.
    pub wire: Option<Wire>,
    /// The last word of the master that it follows, by its own clock.
    pub heard: Option<(Generation, Duration)>,
    pub clock: Clock,
    /// Disks that it has had.
    lost_disks: usize,
}

/// Meant by a request to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    Nothing,
    Client,
    Batch,
    Store,
    Sync,
    Fork,
}

/// Up: what a running instance has in memory.
pub struct Up {
    pub logs: PerLog<Core>,
    doing: PerLog<Option<Command>>,
    meant: PerLog<BTreeMap<Ticket, Meant>>,
    last_ticket: u64,
    pub work: Work,
    /// How much of each log was compared with what the others have.
    seen: PerLog<Offset>,
    pub reign: Option<Reign>,
    /// Records in the log whose clients wait for the commit.
    pub clients: Vec<Offset>,
    /// Leaving: it was asked to end, and its master is told; it begins again with the next start of all.
    pub leaving: bool,
}

/// Reign: what a master has in memory.
pub struct Reign {
    pub generation: Generation,
    pub keeper: failover::Keeper,
    /// Last record of each log when it began: some were committed by others.
    pub begun: PerLog<Offset>,
    /// Standbys, and what they have said on the connections that they have.
    pub standbys: Standbys,
    pub publishing: Publishing,
}

impl Reign {
    pub fn new(generation: Generation, keeper: failover::Keeper, begun: PerLog<Offset>) -> Reign {
        Reign {
            generation,
            keeper,
            begun,
            standbys: Standbys::new(),
            publishing: Publishing::new(crate::aggregating::options(), Registry::default(), Offset::ZERO, generation),
        }
    }

    /// Notes what a standby has said with that disk.
    pub fn noted(&mut self, name: &InstanceName, disk: &DiskId) -> &mut Standby {
        let new = || Standby { disk: disk.clone(), stored: PerLog::default(), leaving: false };
        let noted = self.standbys.entry(name.clone()).or_insert_with(new);
        if noted.disk != *disk {
            *noted = new();
        }
        noted
    }
}

impl Up {
    pub fn ticket(&mut self, log: LogName, meant: Meant) -> Ticket {
        self.last_ticket += 1;
        self.meant[log].insert(Ticket(self.last_ticket), meant);
        Ticket(self.last_ticket)
    }

    pub fn handle(&mut self, log: LogName, event: Event) {
        self.logs[log].handle(event);
    }

    /// Something is on its way to the disk.
    pub fn writes(&self) -> bool {
        !self.doing.as_ref().all(Option::is_none)
    }

    pub fn committed(&self, log: LogName) -> Offset {
        self.logs[log].view().committed
    }
}

pub fn start(name: &InstanceName, disks: &mut PerLog<LogDisk>, checkpoint: Checkpoint) -> Up {
    let options = crate::lanes::options(Options::new(Mode::Direct, name.clone()));
    let logs = disks.as_mut().map(|disk| Core::new(disk.open()));
    Up {
        logs,
        doing: PerLog::default(),
        meant: PerLog::default(),
        last_ticket: 0,
        work: Work::new(Lanes::new(options, checkpoint, Origin::Checkpoint)),
        seen: PerLog::default(),
        reign: None,
        clients: Vec::new(),
        leaving: false,
    }
}

impl Ssh {
    pub fn new(index: usize, clock: Clock) -> Ssh {
        let name: InstanceName = format!("ssh-{index}").try_into().unwrap_or_else(|_| unreachable!("a fit name"));
        let mut disks = PerLog::default();
        let up = start(&name, &mut disks, Checkpoint::default());
        let disk = disk_id(&name, 0);
        Ssh {
            name,
            disk,
            disks,
            store: Store::default(),
            checkpoint: Checkpoint::default(),
            sealed: Generation(0),
            up: Some(up),
            wire: None,
            heard: None,
            clock,
            lost_disks: 0,
        }
    }

    /// Another, empty disk: with its process down.
    pub fn lose_disk(&mut self) {
        self.lost_disks += 1;
        self.disk = disk_id(&self.name, self.lost_disks);
        self.disks = Default::default();
        self.store.lose_disk();
        (self.checkpoint, self.sealed, self.heard) = (Checkpoint::default(), Generation(0), None);
    }
}

fn disk_id(name: &InstanceName, number: usize) -> DiskId {
    format!("disk-{number}-of-{name}").parse().unwrap_or_else(|_| unreachable!("a fit id"))
}

impl World {
    /// Lets one log of one instance do what it wants to do to its disk.
    pub fn ssh_disk(&mut self) {
        let (index, log) = (self.any_ssh(), self.any_log());
        self.ssh_disk_of(index, log);
    }

    pub fn ssh_disk_of(&mut self, index: usize, log: LogName) {
        let full = self.faults && self.chance.one_in(50);
        if self.is_paused(Node::Ssh(index)) {
            return;
        }
        let ssh = &mut self.ssh[index];
        let Some(up) = &mut ssh.up else { return };
        let disk = &mut ssh.disks[log];
        let Some(command) = up.doing[log].take() else { return };
        let event = match command {
            Command::Write { .. } if full => Event::Written(Err(WriteFailure::Full("simulated".into()))),
            Command::Write { entries, .. } => {
                disk.write(entries);
                Event::Written(Ok(()))
            }
            Command::Sync => {
                if self.bug != Some(Bug::AcknowledgeBeforeFsync) {
                    disk.sync();
                }
                Event::Synced
            }
            Command::Truncate { from } => {
                disk.truncate(from);
                Event::Cut
            }
            Command::Reset { .. } | Command::Trim { .. } | Command::Answered { .. } | Command::Appended { .. } => {
                return;
            }
        };
        up.handle(log, event);
        self.settle_ssh(index);
    }

    /// Takes the logs' answers, and compares what became final with what the others have.
    pub fn settle_ssh(&mut self, index: usize) {
        for log in LogName::ALL {
            loop {
                let Some(up) = &mut self.ssh[index].up else { return };
                if up.doing[log].is_some() {
                    break;
                }
                match up.logs[log].poll() {
                    None => break,
                    Some(Command::Answered { ticket, outcome }) => {
                        let Some(meant) = up.meant[log].remove(&ticket) else { continue };
                        self.answered(index, log, meant, outcome.is_ok());
                    }
                    Some(Command::Appended { ticket, outcome }) => {
                        let Some(meant) = up.meant[log].remove(&ticket) else { continue };
                        self.appended(index, meant, outcome);
                    }
                    Some(command) => up.doing[log] = Some(command),
                }
            }
            self.observe_committed(index, log);
        }
        self.acknowledge_clients(index);
    }

    fn answered(&mut self, index: usize, log: LogName, meant: Meant, well: bool) {
        let Some(up) = &mut self.ssh[index].up else { return };
        match meant {
            Meant::Store if well => {
                let ticket = up.ticket(log, Meant::Sync);
                up.handle(log, Event::Sync { ticket });
            }
            Meant::Sync if well => {
                let through = up.logs[log].view().durable;
                if let Some(wire) = &mut self.ssh[index].wire {
                    wire.up.push_back(FromFollower::Stored { log, through });
                }
            }
            // Asks again with what is left.
            Meant::Fork | Meant::Store | Meant::Sync => self.cut_standby(index),
            Meant::Nothing | Meant::Client | Meant::Batch => {}
        }
    }

    fn appended(&mut self, index: usize, meant: Meant, outcome: Result<Offset, AppendError>) {
        let Some(up) = &mut self.ssh[index].up else { return };
        match (meant, outcome) {
            (Meant::Client, Ok(offset)) => up.clients.push(offset),
            (Meant::Batch, Err(_)) => {
                if let Some(reign) = &mut up.reign {
                    reign.publishing.core.batch_failed();
                }
            }
            // A reign that cannot write its first record is given up.
            (Meant::Nothing, Err(_)) if up.reign.is_some() => self.crash_ssh(index, false),
            (Meant::Nothing | Meant::Batch, Ok(_))
            | (Meant::Nothing | Meant::Client, Err(_))
            | (Meant::Store | Meant::Sync | Meant::Fork, _) => {}
        }
    }

    fn observe_committed(&mut self, index: usize, log: LogName) {
        let ssh = &mut self.ssh[index];
        let Some(up) = &mut ssh.up else { return };
        let committed = up.committed(log);
        let before = up.seen[log];
        let mut result = Ok(());
        while up.seen[log] < committed && result.is_ok() {
            up.seen[log] = up.seen[log].next();
            let offset = up.seen[log];
            result = match ssh.disks[log].get(offset) {
                Some(entry) => self.truth.commit(log, entry),
                None => Err(format!("ssh-{index} committed {log:?} {offset}, which it does not have")),
            };
        }
        if before < committed {
            note!(self, "ssh-{index} has committed {log:?} through {committed}");
        }
        self.expect(result);
    }

    fn acknowledge_clients(&mut self, index: usize) {
        let ssh = &mut self.ssh[index];
        let Some(up) = ssh.up.as_mut().filter(|up| up.reign.is_some()) else { return };
        let committed = up.committed(LogName::Replication);
        let (done, waiting) = std::mem::take(&mut up.clients).into_iter().partition(|offset| *offset <= committed);
        up.clients = waiting;
        let done: Vec<Offset> = done;
        for offset in done {
            let disk = &self.ssh[index].disks.replication;
            let Some(Entry { bytes, .. }) = disk.get(offset).cloned() else { continue };
            self.happened("records acknowledged");
            self.acknowledged.insert(offset, bytes);
            note!(self, "ssh-{index} acknowledges record {offset}");
        }
    }

    /// Feeds the aggregator what it needs to know of what is committed here.
    pub fn feed_aggregator(&mut self, index: usize) {
        let now = self.now;
        let ssh = &mut self.ssh[index];
        let Some(up) = &mut ssh.up else { return };
        let committed = PerLog::of(|log| up.committed(log));
        let Some(reign) = &mut up.reign else { return };
        for log in LogName::ALL {
            while reign.publishing.through()[log] < committed[log] {
                let Some(entry) = ssh.disks[log].get(reign.publishing.through()[log].next()) else { return };
                let Ok(record) = entry.record() else { return };
                let _not_counted = reign.publishing.take(log, entry, &record, now);
            }
        }
    }
}
