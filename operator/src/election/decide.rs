//! Decides who acts: one operator of several, by a Lease. Pure: time comes in as the time since this process's start.
//!
//! The rules are client-go's: a holder is believed until this process has itself seen its record unchanged for the
//! whole duration that the record names, so that clocks of different machines never matter; every write is conditional
//! on the version that was read; who cannot renew in time stops to act before anybody else may begin.

use std::time::Duration;

/// Defaults of client-go: who does not renew for `RENEW_DEADLINE` stops, who is silent for `DURATION` is replaced.
pub const DURATION: Duration = Duration::from_secs(15);
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// Record that the Lease holds. Two records with the same version are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The `resourceVersion`.
    pub version: String,
    /// Empty: it was given back.
    pub holder: String,
    pub duration: Duration,
    /// How often the holder has changed.
    pub transitions: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: make it, with this process as its holder.
    Create,
    /// Write it with this process as its holder, if it still has this version.
    Write { version: String, transitions: i32, renews: bool },
    /// Somebody else holds it.
    Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Waiting,
    Acting,
    /// Another one may act from now on: this process must not go on.
    Lost,
}

#[derive(Debug)]
pub struct Candidate {
    identity: String,
    /// The last record that differed from the one before, and when it was first seen.
    seen: Option<(Record, Duration)>,
    /// When the last write that succeeded was sent.
    renewed: Option<Duration>,
    deposed: bool,
}

impl Candidate {
    pub fn new(identity: String) -> Candidate {
        Candidate { identity, seen: None, renewed: None, deposed: false }
    }

    /// The Lease was read. None: there is none.
    pub fn saw(&mut self, now: Duration, record: Option<Record>) {
        self.deposed |= self.renewed.is_some() && record.as_ref().is_none_or(|record| record.holder != self.identity);
        let known = self.seen.as_ref().map(|(record, _)| &record.version);
        match record {
            None => self.seen = None,
            Some(record) if known != Some(&record.version) => self.seen = Some((record, now)),
            Some(_) => {}
        }
    }

    pub fn decide(&self, now: Duration) -> Step {
        let Some((record, since)) = &self.seen else { return Step::Create };
        let renews = record.holder == self.identity;
        let free = record.holder.is_empty() || now.saturating_sub(*since) >= record.duration;
        if !renews && !free {
            return Step::Wait;
        }
        let transitions = if renews { record.transitions } else { record.transitions.saturating_add(1) };
        Step::Write { version: record.version.clone(), transitions, renews }
    }

    /// A write that was sent at `sent` succeeded: `record` names this process.
    pub fn wrote(&mut self, sent: Duration, record: Record) {
        self.seen = Some((record, sent));
        self.renewed = Some(sent);
    }

    pub fn standing(&self, now: Duration) -> Standing {
        match self.renewed {
            None => Standing::Waiting,
            Some(_) if self.deposed => Standing::Lost,
            Some(renewed) if now.saturating_sub(renewed) >= RENEW_DEADLINE => Standing::Lost,
            Some(_) => Standing::Acting,
        }
    }

    /// Answers what to give back at the end, so that the next one need not wait.
    pub fn held(&self, now: Duration) -> Option<&Record> {
        let (record, _) = self.seen.as_ref()?;
        (self.standing(now) == Standing::Acting && record.holder == self.identity).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: &str, holder: &str, transitions: i32) -> Record {
        Record { version: version.into(), holder: holder.into(), duration: DURATION, transitions }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_that_is_missing_or_given_back_is_taken_at_once() {
        let mut me = Candidate::new("a".into());
        me.saw(at(0), None);
        assert_eq!((me.decide(at(0)), me.standing(at(0))), (Step::Create, Standing::Waiting));
        me.saw(at(1), Some(record("7", "", 3)));
        assert_eq!(me.decide(at(1)), Step::Write { version: "7".into(), transitions: 4, renews: false });
    }

    #[test]
    fn a_holder_is_believed_until_its_record_was_seen_unchanged_for_its_whole_duration() {
        let mut me = Candidate::new("a".into());
        me.saw(at(0), Some(record("1", "b", 0)));
        me.saw(at(14), Some(record("2", "b", 0)));
        assert_eq!(me.decide(at(28)), Step::Wait);
        me.saw(at(28), Some(record("2", "b", 0)));
        assert_eq!(me.decide(at(29)), Step::Write { version: "2".into(), transitions: 1, renews: false });
        assert_eq!(me.standing(at(29)), Standing::Waiting);
    }

    #[test]
    fn who_cannot_renew_stops_before_another_may_begin() {
        let mut me = Candidate::new("a".into());
        me.saw(at(0), None);
        me.wrote(at(0), record("1", "a", 0));
        assert_eq!(me.decide(at(2)), Step::Write { version: "1".into(), transitions: 0, renews: true });
        assert_eq!(me.standing(at(9)), Standing::Acting);
        assert_eq!(me.standing(at(10)), Standing::Lost);
        assert_eq!((me.held(at(9)).is_some(), me.held(at(10)).is_some()), (true, false));
        let mut other = Candidate::new("b".into());
        other.saw(at(0), Some(record("1", "a", 0)));
        assert_eq!(other.decide(at(10)), Step::Wait);
    }

    #[test]
    fn who_reads_another_name_or_none_has_lost() {
        for found in [None, Some(record("2", "b", 1)), Some(record("2", "", 1))] {
            let mut me = Candidate::new("a".into());
            me.wrote(at(0), record("1", "a", 0));
            me.saw(at(1), found);
            assert_eq!(me.standing(at(1)), Standing::Lost);
        }
    }

    #[test]
    fn a_write_of_unknown_outcome_that_took_effect_is_a_renewal() {
        let mut me = Candidate::new("a".into());
        me.saw(at(0), Some(record("2", "a", 1)));
        assert_eq!(me.standing(at(0)), Standing::Waiting);
        assert_eq!(me.decide(at(0)), Step::Write { version: "2".into(), transitions: 1, renews: true });
    }
}
