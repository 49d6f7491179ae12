//! The register as an API server keeps it: conditional writes, of which each may take place late or have no answer,
//! and reads that may be old.

use std::time::Duration;

use failover::decide::backoff::is_weak;
use failover::keeper::Outcome;
use register::{State, Version, Versioned};

use crate::nodes::Node;
use crate::trouble::Trouble;
use crate::world::{World, note};

pub struct Register {
    /// Everything that it ever held.
    held: Vec<State>,
    /// Nobody waits for them any more; they may take place, or not.
    late: Vec<(Version, State)>,
    /// Nobody can read or write it.
    pub down: bool,
    /// When promotions were begun on a weak word.
    hints: Vec<Duration>,
}

impl Register {
    pub fn new(first: State) -> Register {
        Register { held: vec![first], late: Vec::new(), down: false, hints: Vec::new() }
    }

    fn version(&self, back: usize) -> Versioned<State> {
        let place = self.held.len().saturating_sub(1 + back);
        Versioned { version: Version::File(place as u64 + 1), value: self.held[place].clone() }
    }

    /// State that it holds, which nobody in the world can be sure of.
    pub fn state(&self) -> &State {
        &self.held[self.held.len() - 1]
    }

    /// Lists what it holds, or may hold once a late write has taken place.
    pub fn possible(&self) -> impl Iterator<Item = &State> {
        let now = self.version(0).version;
        let late = self.late.iter().filter(move |(expected, _)| *expected == now).map(|(_, state)| state);
        std::iter::once(self.state()).chain(late)
    }

    pub fn hints(&self) -> &[Duration] {
        &self.hints
    }

    fn write(&mut self, now: Duration, expected: &Version, state: State) -> Result<Version, Outcome> {
        if self.version(0).version != *expected {
            return Err(Outcome::Conflict);
        }
        let begun = state.promotion.as_ref().filter(|_| state.promotion != self.state().promotion);
        if begun.is_some_and(|begun| begun.made.is_none() && is_weak(&begun.reason)) {
            self.hints.push(now);
        }
        self.held.push(state);
        Ok(self.version(0).version)
    }
}

impl World {
    /// None: it cannot be read now.
    pub fn read_register(&mut self, by: Node) -> Option<Versioned<State>> {
        if self.register.down || !self.reaches(by, Node::Register) {
            return None;
        }
        let back = if self.faults && self.chance.one_in(6) { self.chance.below(4) } else { 0 };
        if back > 0 {
            self.happened("stale reads");
        }
        Some(self.register.version(back))
    }

    pub fn write_register(&mut self, by: Node, expected: &Version, state: State) -> Result<Version, Outcome> {
        if self.register.down || !self.reaches(by, Node::Register) {
            return Err(Outcome::Refused);
        }
        let fates = if self.trouble == Trouble::LostAnswers { 6 } else { 12 };
        let fate = if self.faults { self.chance.below(fates) } else { usize::MAX };
        if fate < 3 {
            self.happened("answers lost");
            self.lose_more_than_the_answer(by);
        }
        match fate {
            0 => {
                let written = self.register.write(self.now, expected, state);
                note!(self, "{by:?} writes the register and is not answered: {written:?}");
                Err(Outcome::Unknown)
            }
            1 | 2 => {
                note!(self, "{by:?} writes the register, later or never");
                self.register.late.push((expected.clone(), state));
                Err(Outcome::Unknown)
            }
            _ => {
                let written = self.register.write(self.now, expected, state);
                note!(self, "{by:?} writes the register: {written:?}, {:?}", self.register.state());
                written
            }
        }
    }

    /// One of the writes that nobody waits for reaches the register.
    pub fn late_write(&mut self) {
        if self.register.late.is_empty() {
            return;
        }
        let which = self.chance.below(self.register.late.len());
        let (expected, state) = self.register.late.swap_remove(which);
        let written = self.register.write(self.now, &expected, state);
        note!(self, "a late write reaches the register: {written:?}, {:?}", self.register.state());
    }
}
