//! How many commands each account runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::UserName;

#[derive(Clone, Debug)]
pub(crate) struct Seats {
    limit: usize,
    taken: Arc<Mutex<HashMap<UserName, usize>>>,
}

/// One command's; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    user: UserName,
}

impl Seats {
    pub(crate) fn new(limit: usize) -> Seats {
        Seats { limit, taken: Arc::default() }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn take(&self, user: &UserName) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user.clone()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), user: user.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_for_each_account_and_given_back() {
        let (seats, ann, bob) = (Seats::new(2), "ann".parse().unwrap(), "bob".parse().unwrap());
        let first = seats.take(&ann).unwrap();
        let _second = seats.take(&ann).unwrap();
        assert!(seats.take(&ann).is_none());
        assert!(seats.take(&bob).is_some());
        drop(first);
        assert!(seats.take(&ann).is_some());
        assert_eq!(seats.taken.lock().unwrap().len(), 1);
    }
}
