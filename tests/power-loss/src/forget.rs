//! Forgets unsynced changes, but for those that reach the disk all the same.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[derive(Clone, Copy, Debug)]
pub enum Survivors {
    /// Only what was synced is there afterwards.
    None,
    /// Some changes survive: of those of names the first few, as a journal keeps them; of what was written to files
    /// any part.
    Some { seed: u64 },
}

/// The choice, made change by change.
pub enum Choice {
    None,
    Some(Box<StdRng>),
}

impl Choice {
    pub fn new(survivors: Survivors) -> Choice {
        match survivors {
            Survivors::None => Choice::None,
            Survivors::Some { seed } => Choice::Some(Box::new(StdRng::seed_from_u64(seed))),
        }
    }

    /// How many of so many changes of names.
    pub fn first(&mut self, of: usize) -> usize {
        match self {
            Choice::None => 0,
            Choice::Some(random) => random.random_range(0..=of),
        }
    }

    /// Whether one written page does.
    pub fn page(&mut self) -> bool {
        match self {
            Choice::None => false,
            Choice::Some(random) => random.random(),
        }
    }
}
