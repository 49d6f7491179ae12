//! How long a master may be silent. Silence is a weak word: a network that fails again and again would have one master
//! after another replaced, each of which lives. So each promotion on a weak word makes the next such one wait twice as
//! long, while [`Policy::min_interval`] lasts, which is also the longest wait.

use std::time::Duration;

use protocol::Generation;
use register::State;

use super::{Policy, Reason};

/// More need not be remembered: twice so often is longer than any interval.
const MOST: usize = 16;
/// A promotion that is made raises the generation twice: when it freezes, and when the new master opens.
const GENERATIONS_OF_ONE: u64 = 2;

/// Weak words: what a network, or a fault that all instances share, may say again and again.
const WEAK: [Reason; 2] = [Reason::Silent, Reason::Unable];

#[derive(Clone, Debug, Default)]
pub struct Backoff {
    /// When each was seen, the oldest first.
    seen: Vec<Duration>,
    /// The newest generation that was seen; None: nothing has been seen.
    newest: Option<Generation>,
    /// When the newest promotion was begun, by the clock of whoever did.
    begun: Option<u64>,
}

impl Backoff {
    /// Takes what the register holds now. What was missed counts as weak; whoever has only just begun to look takes
    /// the newest one for new.
    pub fn look(&mut self, now: Duration, state: &State) {
        let promotion = state.promotion.as_ref();
        let begun = promotion.map(|promotion| promotion.begun);
        let passed = self.newest.map_or(0, |newest| state.generation.0.saturating_sub(newest.0));
        let is_new = begun.is_some() && begun != self.begun && (passed > 0 || self.newest.is_none());
        let weak = is_new && promotion.is_some_and(|promotion| is_weak(&promotion.reason));
        let missed = passed.saturating_sub(u64::from(is_new)) / GENERATIONS_OF_ONE;
        let more = usize::try_from(missed).unwrap_or(MOST).saturating_add(usize::from(weak)).min(MOST);
        self.seen.extend(std::iter::repeat_n(now, more));
        self.seen.drain(..self.seen.len().saturating_sub(MOST));
        if self.newest.is_none_or(|newest| newest <= state.generation) {
            (self.newest, self.begun) = (Some(state.generation), begun.or(self.begun));
        }
    }

    /// How long a master must reign now before it is replaced on a weak word that needs no time; None: as soon as it
    /// is said.
    pub fn wait(&self, now: Duration, policy: &Policy) -> Option<Duration> {
        (self.recent(now, policy) > 0).then(|| self.patience(now, policy))
    }

    fn recent(&self, now: Duration, policy: &Policy) -> usize {
        self.seen.iter().filter(|at| now.saturating_sub(**at) < policy.min_interval).count()
    }

    /// How long a master must be silent now before it is replaced.
    pub fn patience(&self, now: Duration, policy: &Policy) -> Duration {
        let recent = self.recent(now, policy);
        let doubled = u32::try_from(recent).ok().and_then(|recent| 2u32.checked_pow(recent)).unwrap_or(u32::MAX);
        policy.detection.saturating_mul(doubled).min(policy.min_interval.max(policy.detection))
    }
}

/// As [`State::begun`] was told it.
pub fn is_weak(reason: &str) -> bool {
    WEAK.iter().any(|weak| weak.to_string() == reason)
}

#[cfg(test)]
mod tests;
