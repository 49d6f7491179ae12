//! How much what is kept for clients may take, answers on the disk for instance: of one client, and of all. When there
//! is no room, the oldest of the client with the most is given up, never the newest of somebody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug)]
pub struct RoomBounds {
    pub client_bytes: u64,
    pub all_bytes: u64,
}

#[derive(Clone)]
pub struct Room {
    /// Subject, for the log.
    what: &'static str,
    bounds: RoomBounds,
    answers: Arc<Mutex<Answers>>,
}

#[derive(Default)]
struct Answers {
    next: u64,
    /// By age.
    kept: BTreeMap<u64, Kept>,
}

struct Kept {
    client: String,
    bytes: u64,
    given_up: CancellationToken,
}

/// One answer's place, or a request's; it is given back when this is dropped.
pub struct Place {
    room: Room,
    number: u64,
    given_up: CancellationToken,
}

impl Room {
    pub fn new(what: &'static str, bounds: RoomBounds) -> Room {
        Room { what, bounds, answers: Arc::default() }
    }

    pub fn enter(&self, client: &str) -> Place {
        let given_up = CancellationToken::new();
        let mut answers = self.lock();
        let number = answers.next;
        answers.next += 1;
        let kept = Kept { client: client.to_owned(), bytes: 0, given_up: given_up.clone() };
        answers.kept.insert(number, kept);
        Place { room: self.clone(), number, given_up }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        // The numbers are whole between any two statements, also when a thread died with the lock.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes so many bytes more; others may have to make room. False: there is none.
    pub fn grow(&self, bytes: u64) -> bool {
        let mut answers = self.room.lock();
        loop {
            match decide(&answers.kept, self.number, bytes, self.room.bounds) {
                Decision::Take => {
                    if let Some(own) = answers.kept.get_mut(&self.number) {
                        own.bytes += bytes;
                    }
                    return true;
                }
                Decision::GiveUp(victim) => {
                    if let Some(kept) = answers.kept.remove(&victim) {
                        let (what, bytes) = (self.room.what, kept.bytes);
                        tracing::info!(what, client = kept.client, bytes, "the oldest is given up to make room");
                        kept.given_up.cancel();
                    }
                }
                Decision::Full => return false,
            }
        }
    }

    /// Nothing of it is on the disk any more.
    pub fn empty(&self) {
        if let Some(own) = self.room.lock().kept.get_mut(&self.number) {
            own.bytes = 0;
        }
    }

    /// Cancelled when somebody else needs the room.
    pub fn given_up(&self) -> CancellationToken {
        self.given_up.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.lock().kept.remove(&self.number);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Take,
    GiveUp(u64),
    Full,
}

fn decide(kept: &BTreeMap<u64, Kept>, own: u64, bytes: u64, bounds: RoomBounds) -> Decision {
    let Some(client) = kept.get(&own).map(|kept| kept.client.as_str()) else { return Decision::Full };
    let mut of_clients: BTreeMap<&str, u64> = BTreeMap::new();
    for kept in kept.values() {
        *of_clients.entry(&kept.client).or_default() += kept.bytes;
    }
    let oldest_of = |client: &str| {
        let mut others =
            kept.iter().filter(|(number, kept)| **number != own && kept.client == client && kept.bytes > 0);
        others.next().map_or(Decision::Full, |(number, _)| Decision::GiveUp(*number))
    };
    if of_clients.get(client).copied().unwrap_or(0) + bytes > bounds.client_bytes {
        return oldest_of(client);
    }
    if of_clients.values().sum::<u64>() + bytes <= bounds.all_bytes {
        return Decision::Take;
    }
    match of_clients.iter().max_by_key(|(_, bytes)| **bytes) {
        Some((most, _)) => oldest_of(most),
        None => Decision::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: RoomBounds = RoomBounds { client_bytes: 60, all_bytes: 100 };

    fn kept(list: &[(&str, u64)]) -> BTreeMap<u64, Kept> {
        let kept = |(client, bytes): &(&str, u64)| Kept {
            client: (*client).to_owned(),
            bytes: *bytes,
            given_up: CancellationToken::new(),
        };
        list.iter().enumerate().map(|(number, one)| (number as u64, kept(one))).collect()
    }

    #[test]
    fn the_oldest_of_the_greediest_client_makes_room() {
        use Decision::{Full, GiveUp, Take};
        let decide = |list: &[(&str, u64)], own, bytes| decide(&kept(list), own, bytes, BOUNDS);
        assert_eq!(decide(&[("a", 50)], 0, 10), Take);
        // One answer alone is over the client's share: nobody else is harmed, and it waits.
        assert_eq!(decide(&[("a", 60)], 0, 1), Full);
        // Of a client with several, the oldest that lies on the disk goes, whatever others have.
        assert_eq!(decide(&[("b", 40), ("a", 0), ("a", 30), ("a", 25)], 3, 10), GiveUp(2));
        // Over the bound of all: the one who has most, not the one who comes last.
        assert_eq!(decide(&[("b", 40), ("a", 30), ("a", 25), ("c", 0)], 3, 10), GiveUp(1));
        assert_eq!(decide(&[("a", 60), ("b", 40)], 0, 0), Take);
        assert_eq!(decide(&[("a", 50), ("b", 45)], 0, 6), Full, "it is the greediest itself");
        assert_eq!(decide(&[("a", 1)], 7, 1), Full, "it was given up");
    }

    #[test]
    fn a_place_that_is_given_up_is_told_and_room_comes_back() {
        let room = Room::new("answers", BOUNDS);
        let (first, second) = (room.enter("a"), room.enter("a"));
        assert!(first.grow(50) && second.grow(10));
        assert!(second.grow(30) && first.given_up().is_cancelled() && !second.given_up().is_cancelled());
        assert!(!first.grow(1));
        second.empty();
        let third = room.enter("b");
        assert!(third.grow(60) && second.grow(40) && !third.given_up().is_cancelled());
        drop(third);
        assert!(second.grow(20) && !second.grow(1));
    }
}
