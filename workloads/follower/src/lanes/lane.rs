//! One repository's ordered work.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use protocol::{CreationId, Offset};

use super::marks::Mark;
use super::work::Work;
use super::{LaneFacts, Mode, Ticket};

pub(super) struct Item {
    pub offset: Offset,
    pub work: Work,
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is known of the repository's state.
    Unopened,
    /// Follows its records.
    Open,
    Recover {
        break_locks: bool,
    },
    /// A peer's copy is needed.
    Fetch,
    /// No peer has one: begin anew from the own log.
    Rebuild,
    /// There is nothing here, and should not be.
    Absent,
    /// Stands before a record of unknown kind; only another program can go on.
    Parked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Open,
    Recover,
    Resync {
        needs: LaneFacts,
    },
    /// A record's work, after which it is applied, and with `shows` also shown.
    Work {
        offset: Offset,
        shows: bool,
    },
    Remove {
        offset: Offset,
    },
    Replay {
        fresh: bool,
    },
}

pub(super) struct Lane {
    pub phase: Phase,
    pub opened: bool,
    /// Counted among those that the start has to look at.
    pub awaited: bool,
    pub facts: LaneFacts,
    /// Records that are not shown, in order.
    pub queue: VecDeque<Item>,
    /// Bytes of the queue, in memory.
    pub bytes: usize,
    /// The newest record of the lane that is no longer in the queue: a copy that does not show it is no use.
    pub base: Offset,
    /// The newest record whose bundle was let go after it was applied: a copy that has not applied it is no use.
    pub slimmed: Offset,
    /// Owed: what is missing here may begin at this offset, and is not in the queue.
    pub owed: Option<Offset>,
    /// On an SSH instance: the newest record that was let go, up to which the own log must be read again.
    pub behind: Option<Offset>,
    pub direct: bool,
    /// Records whose release has not been seen.
    pub unreleased: BTreeSet<Offset>,
    pub quarantined: bool,
    /// Failures since the last success, and how often in a row the disk was full.
    pub attempts: u32,
    pub fulls: u32,
    pub retry_at: Option<Duration>,
    pub in_flight: Option<(Ticket, Doing)>,
    /// Stands in the queue of those that have something to do, or waits for a time.
    pub queued: bool,
    /// Records and bytes of the queue as last counted into the totals, and the lane's part in the marks.
    pub counted: (usize, usize),
    pub mark: Option<Mark>,
}

impl Lane {
    pub fn new(mode: Mode, phase: Phase, base: Offset) -> Lane {
        Lane {
            phase,
            opened: phase != Phase::Unopened,
            awaited: false,
            facts: LaneFacts::default(),
            queue: VecDeque::new(),
            bytes: 0,
            base,
            slimmed: Offset::ZERO,
            owed: None,
            behind: None,
            direct: mode == Mode::Direct,
            unreleased: BTreeSet::new(),
            quarantined: false,
            attempts: 0,
            fulls: 0,
            retry_at: None,
            in_flight: None,
            queued: false,
            counted: (0, 0),
            mark: None,
        }
    }

    pub fn push(&mut self, offset: Offset, work: Work) {
        if let (Work::Nothing, Some(last)) = (&work, self.queue.back_mut())
            && matches!(last.work, Work::Nothing)
        {
            last.offset = offset;
            return;
        }
        let bytes = work.bytes();
        self.bytes += bytes;
        self.queue.push_back(Item { offset, work, bytes });
    }

    /// A push that was on its way when its repository was set up anew is recorded after that, and is here before it:
    /// its child held the repository's lock. The state alone does not tell, so whatever sets up is done once more.
    fn is_due(&self, item: &Item) -> bool {
        self.direct && item.work.sets_up()
    }

    /// Notes that what sets the repository up at this offset is done.
    pub fn has_set_up(&mut self, offset: Offset) {
        let front = self.queue.front_mut().filter(|item| item.offset == offset && item.work.sets_up());
        if let Some(item) = front {
            item.work = Work::Nothing;
        }
    }

    /// Nobody can apply this record: the state passes over it, and what comes after it is tried again.
    pub fn give_up(&mut self, offset: Offset) {
        let applied = self.facts.applied;
        let Some(item) = self.queue.iter_mut().find(|item| item.offset == offset) else { return };
        if item.work.is_terminal() || offset <= applied {
            return;
        }
        item.work = Work::Pass;
        if matches!(self.phase, Phase::Fetch | Phase::Rebuild | Phase::Recover { .. } | Phase::Parked) {
            self.phase = Phase::Recover { break_locks: !self.direct };
            (self.attempts, self.fulls, self.retry_at) = (0, 0, None);
        }
    }

    /// Answers what the repository's state says, but not beyond what is still to be set up.
    pub fn reached(&self) -> LaneFacts {
        match self.queue.front().filter(|item| self.is_due(item)) {
            None => self.facts,
            Some(item) => {
                let before = item.offset.previous();
                LaneFacts { applied: self.facts.applied.min(before), shown: self.facts.shown.min(before) }
            }
        }
    }

    /// The record is stored here, its bundle is not needed again.
    pub fn slim(&mut self, offset: Offset) {
        let Ok(place) = self.queue.binary_search_by_key(&offset, |item| item.offset) else { return };
        let Some(item) = self.queue.get_mut(place).filter(|item| matches!(item.work, Work::Push(_))) else { return };
        item.work.drop_bundle();
        self.bytes -= item.bytes;
        item.bytes = item.work.bytes();
        self.bytes += item.bytes;
        self.slimmed = self.slimmed.max(offset);
    }

    /// Lets go of records that wait in vain; a peer's copy must bring them.
    pub fn drop_queue(&mut self, id: CreationId) {
        let Some(last) = self.queue.back().map(|item| item.offset) else { return };
        self.forget_queue();
        if self.direct {
            self.fall_behind(last);
            return;
        }
        self.base = self.base.max(last);
        let quarantine = self.fulls == 0;
        match self.phase {
            Phase::Parked => self.owed = Some(Offset(id.0).max(self.facts.shown.next())),
            Phase::Unopened | Phase::Open | Phase::Recover { .. } | Phase::Fetch | Phase::Rebuild | Phase::Absent => {
                self.fetch(id, quarantine);
            }
        }
    }

    /// The own log or a peer's copy gives it again, but for what is to be set up and is older than that.
    fn forget_queue(&mut self) {
        let (direct, shown) = (self.direct, self.facts.shown);
        self.queue.retain(|item| direct && item.offset <= shown);
        self.bytes = self.queue.iter().map(|item| item.bytes).sum();
    }

    pub fn is_released(&self, offset: Offset) -> bool {
        !self.unreleased.contains(&offset)
    }

    /// Place in the queue of the first record that is not applied. On an SSH instance what is applied is shown, and
    /// not in the queue any more.
    pub fn next_apply(&self) -> usize {
        if self.direct {
            return 0;
        }
        self.queue.partition_point(|item| item.offset <= self.facts.applied)
    }

    /// The barrier that is applied and not yet shown.
    pub fn barrier(&self) -> Option<&Item> {
        let applied = self.next_apply().checked_sub(1)?;
        self.queue.get(applied).filter(|item| item.work.is_barrier())
    }

    pub fn is_stuck(&self) -> bool {
        self.quarantined
            || self.attempts > 0
            || self.fulls > 0
            || matches!(self.phase, Phase::Fetch | Phase::Rebuild | Phase::Parked | Phase::Recover { .. })
    }

    /// Shown as far as the releases that were seen allow to say so: a peer's copy may be ahead of them.
    pub fn shown(&self, received: Offset) -> Offset {
        let released = self.unreleased.first().map_or(received, |first| first.previous());
        self.reached().shown.min(released.min(received))
    }

    pub fn is_ahead(&self, received: Offset) -> bool {
        self.shown(received) < self.facts.shown
    }

    /// A copy that lacks less than this would leave records out.
    pub fn needs(&self) -> LaneFacts {
        if self.direct {
            return LaneFacts::default();
        }
        LaneFacts { applied: self.base.max(self.slimmed), shown: self.base }
    }

    /// Asks for a peer's copy. What is missing begins right after what is known to be shown.
    pub fn fetch(&mut self, id: CreationId, quarantine: bool) {
        self.phase = Phase::Fetch;
        self.opened = true;
        self.quarantined |= quarantine;
        if self.facts.shown < self.base || self.facts.applied < self.slimmed || self.behind.is_some() {
            self.owed = Some(Offset(id.0).max(self.facts.shown.next()));
        }
    }

    /// Takes over what the repository's own state says; false: it is behind what this lane still has.
    pub fn take(&mut self, facts: LaneFacts) -> bool {
        self.facts = facts;
        if self.direct && facts.shown < self.base && !self.skip_to_end(Mode::Direct) {
            let newest = self.queue.back().map_or(self.base, |item| item.offset);
            self.forget_queue();
            self.base = facts.shown;
            self.fall_behind(newest);
        }
        let needs = self.needs();
        facts.shown >= needs.shown && facts.applied >= needs.applied
    }

    /// Follows its records from here on.
    pub fn open(&mut self) {
        self.phase = Phase::Open;
        self.opened = true;
        self.owed = self.behind.map(|_| self.facts.shown.next());
    }

    /// The own log must give everything after what is applied, up to here.
    pub fn fall_behind(&mut self, newest: Offset) {
        self.behind = self.behind.max(Some(newest));
        self.owed = Some(self.facts.shown.next());
    }

    pub fn mark(&self, id: CreationId, received: Offset) -> Mark {
        let earliest = |a: Option<Offset>, b: Option<Offset>| a.into_iter().chain(b).min();
        let owed = if self.opened { self.owed } else { Some(Offset(id.0)) };
        let unapplied = earliest(owed, self.queue.get(self.next_apply()).map(|item| item.offset));
        let waiting = earliest(self.queue.front().map(|item| item.offset), self.unreleased.first().copied());
        let counts = |offset: Option<Offset>| offset.filter(|_| !self.quarantined);
        Mark {
            unapplied: counts(unapplied),
            unshown: counts(earliest(owed, waiting)),
            applied: self.reached().applied,
            shown: self.shown(received),
            quarantined: self.quarantined,
        }
    }
}

/// Moves that need nobody outside.
impl Lane {
    pub fn advance(&mut self, mode: Mode) {
        if self.in_flight.is_none() {
            self.supersede(mode);
        }
        while self.advance_once(mode) {}
        let all_released_shown = self.queue.front().is_none_or(|item| !self.is_released(item.offset));
        if self.phase == Phase::Open && (mode == Mode::Direct || all_released_shown) && self.attempts == 0 {
            self.quarantined = false;
        }
    }

    fn advance_once(&mut self, mode: Mode) -> bool {
        if let Some(front) = self.queue.front()
            && front.offset <= self.facts.shown
            && !self.is_due(front)
        {
            if front.work.is_terminal() && self.phase != Phase::Absent {
                // A master's copy, which is ahead and still has what mirrors must drop.
                self.end_at(front.offset, mode);
                return true;
            }
            self.base = self.base.max(front.offset);
            self.bytes -= front.bytes;
            self.queue.pop_front();
            return true;
        }
        if !matches!(self.phase, Phase::Open | Phase::Absent) {
            return false;
        }
        if let Some(front) = self.queue.front()
            && matches!(front.work, Work::Nothing)
            && front.offset <= self.facts.applied
        {
            self.facts.shown = front.offset;
            return true;
        }
        if self.barrier().is_some() {
            return false;
        }
        let Some(next) = self.queue.get(self.next_apply()) else { return false };
        match &next.work {
            work if mode == Mode::TwoStep && work.needs_no_apply() => {
                self.facts.applied = next.offset;
                true
            }
            Work::Unknown => {
                self.phase = Phase::Parked;
                self.quarantined = true;
                false
            }
            Work::Fetch => {
                self.base = next.offset;
                self.phase = Phase::Fetch;
                false
            }
            Work::Init { .. }
            | Work::Configure { .. }
            | Work::Push(_)
            | Work::Strip(_)
            | Work::Advertise(_)
            | Work::Delete
            | Work::Withdraw
            | Work::Pass
            | Work::Nothing => false,
        }
    }

    /// Forgets what comes before the repository's end; false: it does not end.
    fn skip_to_end(&mut self, mode: Mode) -> bool {
        let Some(end) = self.queue.iter().rposition(|item| item.work.is_terminal()) else { return false };
        self.bytes -= self.queue.drain(..end).map(|item| item.bytes).sum::<usize>();
        let Some(offset) = self.queue.front().map(|item| item.offset) else { return false };
        self.end_at(offset, mode);
        self.behind = None;
        (self.base, self.slimmed) = (offset.previous(), Offset::ZERO);
        true
    }

    /// Nothing but the end at this offset is left to do. On a mirror the lane itself hides the repository.
    fn end_at(&mut self, offset: Offset, mode: Mode) {
        let before = offset.previous();
        self.facts = LaneFacts { applied: if mode == Mode::TwoStep { offset } else { before }, shown: before };
    }

    /// A lane that cannot follow its records need not, once the repository ends: what came before is moot.
    fn supersede(&mut self, mode: Mode) {
        if !matches!(self.phase, Phase::Fetch | Phase::Rebuild | Phase::Parked | Phase::Recover { .. }) {
            return;
        }
        if !self.skip_to_end(mode) {
            return;
        }
        (self.quarantined, self.attempts, self.fulls, self.retry_at) = (false, 0, 0, None);
        self.open();
    }
}
