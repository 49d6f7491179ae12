//! Lanes of an SSH instance read again from its own log what was let go, or lost: there the log is at hand, and a peer
//! may be in the same need.

use std::time::Duration;

use protocol::{Offset, Record};

use super::lane::{Doing, Lane, Phase};
use super::work::Work;
use super::{LaneFacts, Lanes, Outcome, RetryKind, Ticket};

impl Lanes {
    /// Answers `ActionKind::Replay`: the repository's records right after the asked offset, in order; all of them up
    /// to and including `through`. A part is enough, the lane asks again.
    pub fn replayed(&mut self, ticket: Ticket, records: &[(Offset, Record)], through: Offset, now: Duration) {
        let Some(id) = self.queues.in_flight_of(ticket) else { return };
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some((_, Doing::Replay { fresh })) = lane.in_flight else { return };
        // The repository has ended meanwhile.
        if lane.behind.is_none() && !fresh {
            lane.in_flight = None;
            self.queues.finish(ticket);
            return self.touch(id);
        }
        let repository = self.registry.get(id);
        let first = records.first().map(|(offset, _)| *offset);
        let begins = !fresh || matches!(records.first(), Some((_, Record::RepositoryCreated(_))));
        let wanted = matches!(lane.phase, Phase::Open | Phase::Rebuild);
        if repository.is_none()
            || !wanted
            || !begins
            || first.is_some_and(|first| !fresh && first <= lane.facts.applied)
        {
            return self.finished(ticket, Outcome::Retry(RetryKind::Failed), now);
        }
        lane.in_flight = None;
        if fresh {
            lane.begin_anew();
        } else {
            // The queue begins after it: an older copy would leave records out.
            lane.base = lane.base.max(lane.facts.applied);
        }
        for (offset, record) in records {
            let given_up = repository.is_some_and(|known| known.skipped.contains(offset));
            let work = Work::of(self.options.mode, record, repository, repository);
            if let Some(work) = work.map(|work| if given_up { Work::Pass } else { work }) {
                lane.push(*offset, work);
            }
        }
        lane.catch_up(through);
        lane.attempts = 0;
        lane.open();
        self.queues.finish(ticket);
        self.touch(id);
        self.settle();
    }
}

impl Lane {
    fn begin_anew(&mut self) {
        let newest = self.queue.back().map_or(self.base, |item| item.offset);
        self.queue.clear();
        self.bytes = 0;
        self.facts = LaneFacts::default();
        self.base = Offset::ZERO;
        self.fall_behind(newest);
    }

    fn catch_up(&mut self, through: Offset) {
        self.behind = self.behind.filter(|newest| *newest > through);
    }

    /// A record that the log will give again; only the repository's end counts at once.
    pub(super) fn pass_by(&mut self, offset: Offset, work: Work) {
        if !work.is_terminal() {
            self.behind = self.behind.max(Some(offset));
            return;
        }
        (self.queue, self.bytes, self.behind, self.owed) = (Default::default(), 0, None, None);
        let before = offset.previous();
        self.facts = LaneFacts { applied: before, shown: before };
        self.base = before;
        self.push(offset, work);
    }
}
