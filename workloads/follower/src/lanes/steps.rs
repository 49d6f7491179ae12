//! The next action of a lane, and which lanes act now.

use std::sync::Arc;
use std::time::Duration;

use protocol::{CreationId, Offset};

use super::lane::{Doing, Item, Lane, Phase};
use super::work::Work;
use super::{Action, ActionKind, Lanes, Mode};

/// Almost half a minute, in which whoever lost power too has come back.
const ATTEMPTS_BEFORE_ALONE: u32 = 9;

impl Lanes {
    /// Lists what to start now: at most one action per repository and `max_in_flight` over all, the longest waiting
    /// first.
    pub fn actions(&mut self, now: Duration) -> Vec<Action> {
        for id in self.queues.due(now) {
            if let Some(lane) = self.lanes.get_mut(&id) {
                (lane.queued, lane.retry_at) = (false, None);
            }
            self.touch(id);
        }
        let mut actions = Vec::new();
        while self.queues.in_flight() < self.options.max_in_flight {
            let Some(id) = self.queues.pop() else { break };
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.queued = false;
            if lane.retry_at.is_some() {
                self.touch(id);
                continue;
            }
            let Some((doing, kind)) = lane.step(self.options.mode) else { continue };
            let ticket = self.queues.start(id);
            lane.in_flight = Some((ticket, doing));
            actions.push(Action { ticket, repository: id, kind });
        }
        actions
    }

    /// When `actions` should be asked again though nothing happened.
    pub fn next_wake(&self) -> Option<Duration> {
        self.queues.next_wake()
    }

    /// After any change of a lane: does what needs nobody outside, notes how far it is, and queues it for `actions`.
    pub(super) fn touch(&mut self, id: CreationId) {
        self.touched.insert(id);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.advance(self.options.mode);
        if lane.opened && std::mem::take(&mut lane.awaited) {
            self.to_open -= 1;
        }
        let (records, bytes) = std::mem::replace(&mut lane.counted, (lane.queue.len(), lane.bytes));
        self.pending_records = self.pending_records + lane.queue.len() - records;
        self.pending_bytes = self.pending_bytes + lane.bytes - bytes;
        let gone = lane.phase == Phase::Absent && lane.queue.is_empty() && lane.in_flight.is_none();
        let mark = (!gone).then(|| lane.mark(id, self.received));
        self.marks.update(id, std::mem::replace(&mut lane.mark, mark), mark);
        if gone {
            let lane = self.lanes.remove(&id);
            self.releases.forget(lane.map(|lane| lane.unreleased).unwrap_or_default());
            return;
        }
        if !lane.queued && lane.step(self.options.mode).is_some() {
            lane.queued = true;
            self.queues.push(id, lane.retry_at);
        }
    }
}

impl Lane {
    pub(super) fn step(&self, mode: Mode) -> Option<(Doing, ActionKind)> {
        if self.in_flight.is_some() {
            return None;
        }
        match self.phase {
            Phase::Unopened => Some((Doing::Open, ActionKind::Open)),
            Phase::Recover { break_locks } => Some((Doing::Recover, ActionKind::Recover { break_locks })),
            Phase::Fetch => {
                let needs = self.needs();
                let alone = self.direct && self.attempts >= ATTEMPTS_BEFORE_ALONE;
                let kind = ActionKind::Resync { applied: needs.applied, shown: needs.shown, alone };
                Some((Doing::Resync { needs }, kind))
            }
            Phase::Rebuild => {
                Some((Doing::Replay { fresh: true }, ActionKind::Replay { after: Offset::ZERO, fresh: true }))
            }
            Phase::Open if self.queue.is_empty() && self.behind.is_some() => {
                let kind = ActionKind::Replay { after: self.facts.applied, fresh: false };
                Some((Doing::Replay { fresh: false }, kind))
            }
            Phase::Parked | Phase::Absent => None,
            Phase::Open => match mode {
                Mode::Direct => self.queue.front().and_then(direct),
                Mode::TwoStep => self.two_step(),
            },
        }
    }

    /// Showing comes first: others wait for it, and it is short.
    fn two_step(&self) -> Option<(Doing, ActionKind)> {
        let front = self.queue.front()?;
        if front.offset <= self.facts.applied && self.is_released(front.offset) {
            return show(front);
        }
        if self.barrier().is_some() {
            return None;
        }
        self.queue.get(self.next_apply()).and_then(apply)
    }
}

fn direct(item: &Item) -> Option<(Doing, ActionKind)> {
    let offset = item.offset;
    let doing = Doing::Work { offset, shows: true };
    match &item.work {
        Work::Init { .. } => init(item, false).map(|kind| (doing, kind)),
        Work::Push(push) => Some((doing, ActionKind::Apply { offset, push: Arc::clone(push), hidden: false })),
        Work::Configure { .. }
        | Work::Strip(_)
        | Work::Advertise(_)
        | Work::Delete
        | Work::Withdraw
        | Work::Fetch
        | Work::Pass
        | Work::Nothing
        | Work::Unknown => show(item),
    }
}

fn apply(item: &Item) -> Option<(Doing, ActionKind)> {
    let offset = item.offset;
    let doing = Doing::Work { offset, shows: false };
    let kind = match &item.work {
        Work::Init { .. } => init(item, true)?,
        Work::Push(push) => ActionKind::Apply { offset, push: Arc::clone(push), hidden: true },
        Work::Strip(_) | Work::Delete | Work::Withdraw | Work::Pass => ActionKind::Hide { offset },
        Work::Configure { .. } | Work::Advertise(_) | Work::Fetch | Work::Nothing | Work::Unknown => return None,
    };
    Some((doing, kind))
}

fn show(item: &Item) -> Option<(Doing, ActionKind)> {
    let offset = item.offset;
    let kind = match &item.work {
        Work::Init { .. } | Work::Pass => ActionKind::Reveal { offset },
        Work::Configure { path, settings } => {
            ActionKind::Configure { offset, path: path.clone(), settings: Arc::clone(settings) }
        }
        Work::Push(push) => ActionKind::Show { offset, push: Arc::clone(push) },
        Work::Strip(changesets) => ActionKind::Strip { offset, changesets: Arc::clone(changesets) },
        Work::Advertise(manifest) => ActionKind::Advertise { offset, manifest: Arc::clone(manifest) },
        Work::Delete | Work::Withdraw => return Some((Doing::Remove { offset }, ActionKind::Remove { offset })),
        Work::Fetch | Work::Nothing | Work::Unknown => return None,
    };
    Some((Doing::Work { offset, shows: true }, kind))
}

fn init(item: &Item, hidden: bool) -> Option<ActionKind> {
    match &item.work {
        Work::Init { path, format, settings } => Some(ActionKind::Init {
            offset: item.offset,
            path: path.clone(),
            format: *format,
            settings: Arc::clone(settings),
            hidden,
        }),
        Work::Configure { .. }
        | Work::Push(_)
        | Work::Strip(_)
        | Work::Advertise(_)
        | Work::Delete
        | Work::Withdraw
        | Work::Fetch
        | Work::Pass
        | Work::Nothing
        | Work::Unknown => None,
    }
}
