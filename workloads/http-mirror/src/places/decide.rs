//! Decides who has to leave. Pure: addresses and `now` (since some fixed start) go in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// So long a connection may be silent while others wait for its place.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(u64);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// Room when this one has left.
    Of(Number),
    /// All places are used.
    None,
}

struct Held {
    client: IpAddr,
    /// Requests that are being answered.
    running: u32,
    /// Since when there is none.
    idle_since: Duration,
}

pub(crate) struct Places {
    all: usize,
    per_client: usize,
    next: u64,
    held: BTreeMap<Number, Held>,
}

impl Places {
    pub(crate) fn new(all: usize, per_client: usize) -> Places {
        Places { all, per_client, next: 0, held: BTreeMap::new() }
    }

    pub(crate) fn room(&self, now: Duration) -> Room {
        if self.held.len() < self.all {
            return Room::Free;
        }
        let late = |held: &Held| held.running == 0 && now.saturating_sub(held.idle_since) >= PATIENCE;
        let clients = self.clients();
        let late = self.held.iter().filter(|(_, held)| late(held));
        let first = late.min_by_key(|(number, held)| {
            let of_client = clients.get(&held.client).copied().unwrap_or(0);
            (std::cmp::Reverse(of_client), held.idle_since, **number)
        });
        first.map_or(Room::None, |(number, _)| Room::Of(*number))
    }

    pub(crate) fn enter(&mut self, client: IpAddr, now: Duration) -> Number {
        let number = Number(self.next);
        self.next += 1;
        self.held.insert(number, Held { client, running: 0, idle_since: now });
        number
    }

    /// Notes whose it is; answers who leaves if that client has too many: the one that has been idle longest, or this
    /// one.
    pub(crate) fn belongs_to(&mut self, number: Number, client: IpAddr) -> Option<Number> {
        self.held.get_mut(&number)?.client = client;
        let own = || self.held.iter().filter(|(_, held)| held.client == client);
        if own().count() <= self.per_client {
            return None;
        }
        let idle = own().filter(|(other, held)| held.running == 0 && **other != number);
        let longest = idle.min_by_key(|(other, held)| (held.idle_since, **other));
        Some(longest.map_or(number, |(other, _)| *other))
    }

    pub(crate) fn begins(&mut self, number: Number) {
        if let Some(held) = self.held.get_mut(&number) {
            held.running += 1;
        }
    }

    pub(crate) fn ends(&mut self, number: Number, now: Duration) {
        if let Some(held) = self.held.get_mut(&number) {
            held.running = held.running.saturating_sub(1);
            held.idle_since = now;
        }
    }

    pub(crate) fn leave(&mut self, number: Number) {
        self.held.remove(&number);
    }

    fn clients(&self) -> BTreeMap<IpAddr, usize> {
        let mut clients = BTreeMap::new();
        for held in self.held.values() {
            *clients.entry(held.client).or_default() += 1;
        }
        clients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn client(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_silent_oldest_of_whoever_has_most_leaves_for_a_newcomer() {
        let mut places = Places::new(4, 4);
        let honest = places.enter(client(1), at(0));
        let many: Vec<Number> = (1..4).map(|when| places.enter(client(2), at(when))).collect();
        assert_eq!(places.room(at(400)), Room::None, "a client may take a moment");
        assert_eq!(places.room(at(600)), Room::Of(many[0]));
        places.begins(many[0]);
        assert_eq!(places.room(at(600)), Room::Of(many[1]));
        places.ends(many[0], at(700));
        assert_eq!(places.room(at(1_300)), Room::Of(many[1]));
        for busy in [many[0], many[1], many[2]] {
            places.begins(busy);
        }
        assert_eq!(places.room(at(1_300)), Room::Of(honest));
        places.begins(honest);
        assert_eq!(places.room(at(9_999)), Room::None, "whoever is answered stays");
        places.leave(many[2]);
        assert_eq!(places.room(at(9_999)), Room::Free);
    }

    #[test]
    fn a_client_takes_no_more_than_its_share() {
        let mut places = Places::new(10, 2);
        let [first, second, third] = [0, 1, 2].map(|when| places.enter(client(9), at(when)));
        assert_eq!(places.belongs_to(first, client(1)), None);
        assert_eq!(places.belongs_to(second, client(1)), None);
        places.begins(first);
        assert_eq!(places.belongs_to(third, client(1)), Some(second));
        places.begins(second);
        assert_eq!(places.belongs_to(third, client(1)), Some(third));
        assert_eq!(places.belongs_to(third, client(2)), None);
    }
}
