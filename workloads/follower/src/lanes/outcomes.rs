//! Outcomes of actions, and what each means for its lane.

use std::time::Duration;

use protocol::{CreationId, Offset};

use super::backoff::delay;
use super::lane::{Doing, Lane, Phase};
use super::work::Work;
use super::{LaneFacts, Lanes, Mode, Origin, Outcome, RetryKind, Ticket};

/// A lock that an SSH instance's lane finds held belongs to a person's push: only every so often is it worth a look
/// whether it is stale.
const LOCKED_BEFORE_RECOVER: u32 = 8;

/// A second failure after a recover shows that recovering does not help.
const CORRUPT_BEFORE_FETCH: u32 = 2;

impl Lanes {
    /// Tells how an action ended. A ticket that is not out changes nothing.
    pub fn finished(&mut self, ticket: Ticket, outcome: Outcome, now: Duration) {
        let Some(id) = self.queues.finish(ticket) else { return };
        let (mode, origin) = (self.options.mode, self.origin);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some((_, doing)) = lane.in_flight.take() else { return };
        let was_opened = lane.opened;
        let failure = match outcome {
            Outcome::Done(facts) => done(lane, id, doing, facts, origin).err(),
            Outcome::Full => Some(Failure::Full),
            Outcome::Retry(kind) => Some(Failure::Retry(kind)),
            Outcome::Corrupt => Some(Failure::Corrupt),
            Outcome::Missing => missing(lane, doing),
        };
        match failure {
            None => (lane.fulls, lane.retry_at) = (0, None),
            Some(failure) => {
                let limit = self.options.attempts_before_quarantine;
                let damaged = was_opened || origin == Origin::Checkpoint;
                let known = Known { id, mode, limit, damaged };
                failed(lane, known, doing, failure);
                let wait =
                    delay(id, (lane.attempts + lane.fulls).max(1), self.options.retry_first, self.options.retry_max);
                lane.retry_at = Some(now + wait);
            }
        }
        self.touch(id);
        self.settle();
    }
}

enum Failure {
    Full,
    Retry(RetryKind),
    Corrupt,
    Missing,
}

#[derive(Clone, Copy)]
struct Known {
    id: CreationId,
    mode: Mode,
    limit: u32,
    /// The repository was or should have been here, so that release need not wait until a peer's copy is.
    damaged: bool,
}

fn done(lane: &mut Lane, id: CreationId, doing: Doing, facts: LaneFacts, origin: Origin) -> Result<(), Failure> {
    match doing {
        Doing::Open | Doing::Recover => {
            let quarantine = lane.opened || origin == Origin::Checkpoint;
            // What was thought to have failed had worked.
            if facts.applied > lane.facts.applied || facts.shown > lane.facts.shown {
                lane.attempts = 0;
            }
            if !lane.take(facts) {
                lane.fetch(id, quarantine);
            } else if lane.phase != Phase::Fetch {
                lane.open();
            }
            Ok(())
        }
        Doing::Resync { needs } => {
            // On an SSH instance nothing may be hidden.
            let half_shown = lane.direct && facts.applied != facts.shown;
            if facts.applied < needs.applied || facts.shown < needs.shown || half_shown {
                return Err(Failure::Retry(RetryKind::Failed));
            }
            // Records dropped meanwhile are not in this copy either.
            match lane.take(facts) {
                true => lane.open(),
                false => lane.fetch(id, false),
            }
            lane.attempts = 0;
            Ok(())
        }
        Doing::Work { offset, shows } => {
            let facts =
                LaneFacts { applied: facts.applied.max(lane.facts.applied), shown: facts.shown.max(lane.facts.shown) };
            if facts.applied < offset || (shows && facts.shown < offset) {
                return Err(Failure::Retry(RetryKind::Failed));
            }
            lane.facts = facts;
            lane.slim(offset);
            lane.has_set_up(offset);
            lane.attempts = 0;
            Ok(())
        }
        // Its records come with `replayed`.
        Doing::Replay { .. } => Err(Failure::Retry(RetryKind::Failed)),
        Doing::Remove { offset } => {
            lane.facts = LaneFacts { applied: offset, shown: offset };
            lane.phase = Phase::Absent;
            (lane.quarantined, lane.owed, lane.attempts) = (false, None, 0);
            lane.unreleased = lane.unreleased.split_off(&offset.next());
            Ok(())
        }
    }
}

/// A lane that begins with a record in the queue has nothing to find.
fn missing(lane: &mut Lane, doing: Doing) -> Option<Failure> {
    let nothing_lost = (lane.base, lane.slimmed) == (Offset::ZERO, Offset::ZERO) && lane.phase != Phase::Fetch;
    let first = lane.queue.front().map(|item| &item.work);
    let begins = nothing_lost && matches!(first, Some(Work::Init { .. } | Work::Unknown));
    if begins && matches!(doing, Doing::Open | Doing::Recover | Doing::Work { .. }) {
        lane.facts = LaneFacts::default();
        lane.open();
        return None;
    }
    Some(Failure::Missing)
}

fn failed(lane: &mut Lane, known: Known, doing: Doing, failure: Failure) {
    if matches!(failure, Failure::Full) {
        lane.fulls = lane.fulls.saturating_add(1);
        return;
    }
    lane.attempts = lane.attempts.saturating_add(1);
    let given_up = lane.attempts >= known.limit;
    match (doing, failure) {
        (_, Failure::Full) => {}
        (Doing::Resync { .. } | Doing::Remove { .. }, Failure::Retry(_) | Failure::Corrupt | Failure::Missing) => {
            lane.quarantined |= given_up;
            let fruitless = given_up && lane.phase == Phase::Fetch && known.mode == Mode::Direct;
            if fruitless && lane.attempts.is_multiple_of(known.limit) {
                lane.phase = Phase::Rebuild;
            }
        }
        (Doing::Replay { .. }, Failure::Retry(_) | Failure::Corrupt | Failure::Missing) => {
            lane.fetch(known.id, false);
        }
        (Doing::Open | Doing::Recover | Doing::Work { .. }, Failure::Missing) => {
            lane.facts = LaneFacts::default();
            lane.fetch(known.id, known.damaged);
        }
        (Doing::Open | Doing::Recover | Doing::Work { .. }, Failure::Corrupt) => {
            if lane.attempts >= CORRUPT_BEFORE_FETCH {
                lane.fetch(known.id, true);
            } else if lane.phase != Phase::Fetch {
                lane.phase = Phase::Recover { break_locks: known.mode == Mode::TwoStep };
            }
        }
        (Doing::Open | Doing::Recover | Doing::Work { .. }, Failure::Retry(kind)) => {
            if kind == RetryKind::Locked && known.mode == Mode::Direct {
                if lane.attempts.is_multiple_of(LOCKED_BEFORE_RECOVER) && lane.phase == Phase::Open {
                    lane.phase = Phase::Recover { break_locks: false };
                }
            } else if given_up {
                lane.fetch(known.id, true);
            } else if lane.phase != Phase::Fetch {
                let break_locks = known.mode == Mode::TwoStep && lane.attempts > 1;
                lane.phase = Phase::Recover { break_locks };
            }
        }
    }
}
