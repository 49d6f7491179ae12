//! The whole installation in one thread: SSH instances, mirrors, aggregators, operators, a balancer and clients, made
//! of the programs' own decision cores, with invented disks, connections and time. One seed decides everything, so
//! that a failing run can be looked at again.
//!
//! After every step the promises that the step could have broken are checked (`check`); after a while the faults stop,
//! and everything must come to rest, equal everywhere and published.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::collections::BTreeMap;

mod aggregating;
mod balancer;
mod chance;
mod check;
mod clients;
mod disk;
mod drain;
mod faults;
mod lanes;
mod mirror;
mod network;
mod nodes;
mod operators;
mod register;
mod reigns;
mod ssh;
mod store;
#[cfg(test)]
mod tests;
mod trouble;
mod truth;
mod wire;
mod world;

/// Mistakes that the simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A log says that its bytes are on disk before they are.
    AcknowledgeBeforeFsync,
    /// The aggregator takes one mirror's word for another's.
    PublishBeforeLastMirror,
    /// Two pushes of one repository change places.
    ApplyOutOfOrder,
    /// A master opens its log without the last record, and gives its offset to another one.
    ReuseOffset,
    /// Nobody refuses an older generation, whatever it was told or has followed.
    SkipSeal,
    /// A restart forgets which generations are refused.
    ForgetSealAtRestart,
    /// Commits do without a member before the register says so.
    ShrinkAfterCommit,
    /// A write whose answer was lost is taken for one that failed.
    ForgetUnansweredWrite,
    /// A promoted master commits without the members that the register names.
    CommitAloneAfterPromotion,
    /// Whoever answers is promoted.
    PromoteOutOfSync,
    /// A newcomer is caught up when it has what this reign has committed; what the reign began with is not asked.
    ForgetWhatTheReignBeganWith,
    /// A master that is silent is replaced as soon as ever, however many were just before.
    BelieveSilenceAtOnce,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub steps: usize,
    pub records: u64,
    /// How often, before the faults ended.
    pub happened: BTreeMap<&'static str, u64>,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    pub seed: u64,
    pub step: usize,
    pub what: String,
    /// The last steps before it, when asked for.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "seed {}, step {}: {}", self.seed, self.step, self.what)
    }
}

/// One run. A failing one is made again with its trace.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<Statistics, Box<Violation>> {
    match world::World::new(seed, bug, false).run() {
        Ok(statistics) => Ok(statistics),
        Err(found) => Err(world::World::new(seed, bug, true).run().err().unwrap_or(found)),
    }
}
