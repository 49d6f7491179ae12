//! The protocol of commits and promotions alone, small enough that every state which it can reach is looked at:
//! the register with its conditional writes whose answers may be lost, the in-sync set, seals, generations, and
//! instances that crash, lose power or lose their disks at any step. What may happen is in `steps`, what must not in
//! `state::State::broken`.
//!
//! Several things are one step here, because what lies between cannot make a commit unsafe that is safe like this:
//!
//! * A follower stores an entry, syncs it and is heard. What is stored and not synced is as good as not stored; a
//!   message that comes later is one that is sent later, for a sealed follower refuses it either way; an
//!   acknowledgement that comes later only makes the master commit later.
//! * A master commits as soon as it can, which asks the most of everybody else.
//! * An answered write of the register takes place when it is sent. Without an answer it may take place at any time.
//! * A deposed master that learns it restarts.
//!
//! Not here: time, repositories, mirrors. `simulation` has those, for some runs instead of all.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod commits;
mod likeness;
mod promotion;
mod set;
mod state;
mod steps;
#[cfg(test)]
mod tests;

use stateright::{Model, Property};

use state::State;
use steps::Step;

/// Mistakes that the model must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Nobody refuses an older generation, whatever it was told or has followed.
    SkipSeal,
    /// A restart forgets which generations are refused, but for what the log itself holds.
    ForgetSealAtRestart,
    /// Commits do without a member before the register says so.
    ShrinkAfterCommit,
    /// A write whose answer was lost is taken for one that failed.
    ForgetUnansweredWrite,
    /// A promoted master commits what it holds without the members that the register names.
    CommitAloneAfterPromotion,
    /// Whoever answers is promoted.
    PromoteOutOfSync,
    /// Acknowledges before fsync: what is written counts as stored before it is on disk.
    AcknowledgeBeforeFsync,
    /// The register names the newcomer before commits wait for it.
    GrowBeforeCommitsWait,
    /// A newcomer is caught up when it has what this reign has committed; what the reign began with is not asked.
    ForgetWhatTheReignBeganWith,
    /// A restarted master goes on with the generation that it had.
    ReuseGeneration,
    /// An instance is its name: it keeps its place in the set when its disk is empty.
    KeepNameOfLostDisk,
}

/// How much may happen in one history.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub pushes: u8,
    pub promotions: u8,
    /// A master that starts again and opens without a promotion.
    pub reopenings: u8,
    pub lost_disks: u8,
}

#[derive(Clone, Debug)]
pub struct Protocol {
    pub bounds: Bounds,
    pub bug: Option<Bug>,
    /// Forget what is moot: many states less, and right only without mistakes.
    pub simplifies: bool,
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.bounds)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if !state.broken {
            self.steps(state, steps);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        self.take(&mut next, step);
        if self.simplifies {
            likeness::simplify(&mut next);
        }
        Some(likeness::representative(next))
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        let mut properties = vec![Property::always("one history", |_, state: &State| !state.broken)];
        // With a mistake planted the search ends at the first broken promise.
        if self.bug.is_none() {
            properties.extend(reachable());
        }
        properties
    }
}

/// Lists what must be possible, lest the promise be kept by standing still.
fn reachable() -> [Property<Protocol>; 4] {
    [
        Property::sometimes("a second promoted master commits with a standby", |_, state: &State| {
            let alone = |reign: &state::Reign| reign.required() == set::Set::default();
            let reigns = state.instances.iter().filter_map(|instance| instance.reign);
            state.left.promotions == 0
                && reigns.into_iter().any(|reign| {
                    let own = state.committed.last().is_some_and(|entry| entry.generation == reign.generation);
                    own && !alone(&reign)
                })
        }),
        Property::sometimes("everything is committed, everywhere", |protocol, state: &State| {
            let all = state.committed.len() == protocol.bounds.pushes;
            all && state.instances.iter().filter(|i| i.there).all(|i| i.log == state.committed)
        }),
        Property::sometimes("two masters at once", |_, state: &State| {
            state.instances.iter().filter(|instance| instance.reign.is_some()).count() > 1
        }),
        Property::sometimes("all three are in the set, also after a disk was lost", |_, state: &State| {
            let register = &state.register;
            let members = register.set.ids().chain(register.master);
            state.left.lost_disks == 0 && members.filter(|id| state.instance(*id).there).count() == 3
        }),
    ]
}
