//! How long a checker runs, and with which seed (docs/checkers.md).

use std::time::{Duration, Instant};

/// Names another seed: a run's own, which it prints, or one that found something.
const SEED: &str = "HGD_SOAK_SEED";
/// How long to go on; without it a checker runs once, bounded, as in `make test`.
const SECONDS: &str = "HGD_SOAK_SECONDS";

pub struct Soak {
    seed: u64,
    end: Instant,
}

impl Soak {
    /// `seed` is what `make test` runs.
    pub fn new(seed: u64) -> Soak {
        let seed = number(SEED).unwrap_or(seed);
        println!("{SEED}={seed}");
        Soak { seed, end: Instant::now() + Duration::from_secs(number(SECONDS).unwrap_or(0)) }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A long run, on a machine that nobody else uses.
    pub fn is_long(&self) -> bool {
        number(SECONDS).is_some()
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Reads a number that one checker has beside that.
    pub fn number(&self, variable: &str, usual: u64) -> u64 {
        number(variable).unwrap_or(usual)
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, and not a number")))
}
