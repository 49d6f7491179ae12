//! Queues: which lanes have something to do now, which wait for a time, and which actions are out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use protocol::CreationId;

use super::Ticket;

#[derive(Default)]
pub(super) struct Queues {
    ready: VecDeque<CreationId>,
    timers: BTreeSet<(Duration, CreationId)>,
    in_flight: BTreeMap<Ticket, CreationId>,
    last: u64,
}

impl Queues {
    pub fn push(&mut self, id: CreationId, retry_at: Option<Duration>) {
        match retry_at {
            Some(at) => {
                self.timers.insert((at, id));
            }
            None => self.ready.push_back(id),
        }
    }

    /// The lanes whose time has come.
    pub fn due(&mut self, now: Duration) -> Vec<CreationId> {
        let later = self.timers.split_off(&(now, CreationId(u64::MAX)));
        std::mem::replace(&mut self.timers, later).into_iter().map(|(_, id)| id).collect()
    }

    pub fn pop(&mut self) -> Option<CreationId> {
        self.ready.pop_front()
    }

    pub fn next_wake(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub fn start(&mut self, id: CreationId) -> Ticket {
        self.last += 1;
        self.in_flight.insert(Ticket(self.last), id);
        Ticket(self.last)
    }

    pub fn in_flight_of(&self, ticket: Ticket) -> Option<CreationId> {
        self.in_flight.get(&ticket).copied()
    }

    pub fn finish(&mut self, ticket: Ticket) -> Option<CreationId> {
        self.in_flight.remove(&ticket)
    }
}
