//! Tables by value: records, releases and outcomes in, actions out.

mod failures;
mod two_step;

use std::time::Duration;

use protocol::record::{
    CloneBundlesChanged, MirrorActive, MirrorInactive, Offsets, RepositoryCreated, RepositoryDeleted,
    RepositoryUpdated, Skip, Strip,
};
use protocol::{
    ChangesetId, CreationId, Offset, Payload, Push, Record, RepositoryFormat, RepositorySettings, Timestamp,
};

use super::{ActionKind, Checkpoint, LaneFacts, Lanes, Mode, Options, Origin, Outcome, RetryKind, Ticket};

pub(super) const A: CreationId = CreationId(1);

/// Lanes with a clock, told in few words.
pub(super) struct Bench {
    pub lanes: Lanes,
    pub now: Duration,
    next: u64,
    place: u64,
}

impl Bench {
    pub fn new(mode: Mode) -> Bench {
        Bench::with(mode, Checkpoint::default(), Origin::Checkpoint)
    }

    pub fn with(mode: Mode, start: Checkpoint, origin: Origin) -> Bench {
        let (next, place) = (start.replication.0, start.publication.0);
        let options = Options { max_stuck_records: 3, ..Options::new(mode, "m".parse().unwrap()) };
        Bench { lanes: Lanes::new(options, start, origin), now: Duration::ZERO, next, place }
    }

    /// The record becomes the next committed one; its offset.
    pub fn commit(&mut self, record: Record) -> Offset {
        self.next += 1;
        self.lanes.committed(Offset(self.next), &record).unwrap();
        Offset(self.next)
    }

    pub fn release(&mut self, offsets: &[u64]) {
        let offsets = offsets.iter().map(|offset| Offset(*offset)).collect();
        self.publish(Record::Released(Offsets { offsets }));
    }

    pub fn publish(&mut self, record: Record) {
        self.place += 1;
        self.lanes.publication(Offset(self.place), &record).unwrap();
    }

    pub fn actions(&mut self) -> Vec<(Ticket, String)> {
        let actions = self.lanes.actions(self.now);
        actions.into_iter().map(|action| (action.ticket, say(action.repository, &action.kind))).collect()
    }

    /// Expects exactly this action now.
    pub fn expect(&mut self, wanted: &str) -> Ticket {
        let actions = self.actions();
        assert_eq!(actions.iter().map(|(_, said)| said.as_str()).collect::<Vec<_>>(), [wanted]);
        actions[0].0
    }

    pub fn expect_nothing(&mut self) {
        assert_eq!(self.actions(), []);
    }

    pub fn done(&mut self, ticket: Ticket, applied: u64, shown: u64) {
        let facts = LaneFacts { applied: Offset(applied), shown: Offset(shown) };
        self.lanes.finished(ticket, Outcome::Done(facts), self.now);
    }

    /// Expects the action and does it.
    pub fn does(&mut self, wanted: &str, applied: u64, shown: u64) {
        let ticket = self.expect(wanted);
        self.done(ticket, applied, shown);
    }

    /// Expects the action, which fails, and passes the time after which it is tried again.
    pub fn fails(&mut self, wanted: &str, outcome: Outcome) {
        let ticket = self.expect(wanted);
        self.lanes.finished(ticket, outcome, self.now);
        self.now = self.lanes.next_wake().unwrap_or(self.now);
    }

    /// Repository `A`, made and opened.
    pub fn create(&mut self) {
        self.commit(created("a", &[]));
        self.fails("1 open", Outcome::Missing);
    }
}

fn say(id: CreationId, kind: &ActionKind) -> String {
    let hides = |hidden: &bool| if *hidden { " hidden" } else { "" };
    let what = match kind {
        ActionKind::Open => "open".to_owned(),
        ActionKind::Init { offset, hidden, .. } => format!("init {offset}{}", hides(hidden)),
        ActionKind::Configure { offset, .. } => format!("configure {offset}"),
        ActionKind::Apply { offset, hidden, .. } => format!("apply {offset}{}", hides(hidden)),
        ActionKind::Show { offset, .. } => format!("show {offset}"),
        ActionKind::Reveal { offset } => format!("reveal {offset}"),
        ActionKind::Advertise { offset, .. } => format!("advertise {offset}"),
        ActionKind::Hide { offset } => format!("hide {offset}"),
        ActionKind::Strip { offset, .. } => format!("strip {offset}"),
        ActionKind::Remove { offset } => format!("remove {offset}"),
        ActionKind::Recover { break_locks } => format!("recover {break_locks}"),
        ActionKind::Resync { applied, shown, alone } => {
            format!("resync {applied} {shown}{}", if *alone { " alone" } else { "" })
        }
        ActionKind::Replay { after, fresh } => format!("replay {after} {fresh}"),
    };
    format!("{id} {what}")
}

pub(super) fn created(path: &str, readers: &[&str]) -> Record {
    let (path, settings) = (path.parse().unwrap(), settings(readers));
    Record::RepositoryCreated(RepositoryCreated { path, format: RepositoryFormat::V1, settings })
}

pub(super) fn updated(id: CreationId, readers: &[&str]) -> Record {
    Record::RepositoryUpdated(RepositoryUpdated { repository: id, settings: settings(readers) })
}

fn settings(readers: &[&str]) -> RepositorySettings {
    RepositorySettings { read_groups: readers.iter().map(|r| r.to_string()).collect(), ..Default::default() }
}

pub(super) fn deleted(id: CreationId) -> Record {
    Record::RepositoryDeleted(RepositoryDeleted { repository: id })
}

pub(super) fn strip(id: CreationId) -> Record {
    Record::Strip(Strip { repository: id, changesets: vec![ChangesetId([1; 20])], user: "u".parse().unwrap() })
}

pub(super) fn skip(id: CreationId, offset: Offset) -> Record {
    Record::Skip(Skip { repository: id, offset, user: "u".parse().unwrap() })
}

pub(super) fn bundles(id: CreationId) -> Record {
    Record::CloneBundlesChanged(CloneBundlesChanged { repository: id, manifest: "m".into() })
}

pub(super) fn push(id: CreationId) -> Record {
    Record::Push(Push {
        repository: id,
        push_id: None,
        user: "u".parse().unwrap(),
        time: Timestamp(0),
        bundle: Some(Payload::Inline(vec![0; 100])),
        changesets: 1,
        tip: None,
        heads_added: Vec::new(),
        heads_removed: Vec::new(),
        heads: 1,
        bookmarks: Vec::new(),
        published: Vec::new(),
        markers: None,
        nodes: None,
    })
}

pub(super) fn active(name: &str) -> Record {
    Record::MirrorActive(MirrorActive { mirror: name.parse().unwrap() })
}

pub(super) fn inactive(name: &str) -> Record {
    let reason = protocol::record::InactiveReason::Lagging;
    Record::MirrorInactive(MirrorInactive { mirror: name.parse().unwrap(), reason })
}

#[test]
fn an_ssh_instance_shows_at_once_and_has_private_repositories() {
    let mut bench = Bench::new(Mode::Direct);
    bench.commit(created("a", &["staff"]));
    bench.fails("1 open", Outcome::Missing);
    bench.does("1 init 1", 1, 1);
    bench.commit(push(A));
    bench.commit(updated(A, &[]));
    bench.commit(strip(A));
    bench.commit(bundles(A));
    bench.commit(deleted(A));
    bench.does("1 apply 2", 2, 2);
    bench.does("1 configure 3", 3, 3);
    bench.does("1 strip 4", 4, 4);
    bench.does("1 advertise 5", 5, 5);
    bench.does("1 remove 6", 0, 0);
    bench.expect_nothing();
    let progress = bench.lanes.progress().unwrap();
    assert_eq!((progress.applied_through, progress.shown_through, progress.lanes.len()), (Offset(6), Offset(6), 0));
    assert_eq!(bench.lanes.lane(A), None);
}

/// The push held the repository's lock, and was recorded after what it did not know of.
#[test]
fn a_repository_is_set_up_also_when_a_later_push_is_there_already() {
    let mut bench = Bench::new(Mode::Direct);
    bench.create();
    bench.does("1 init 1", 1, 1);
    bench.commit(updated(A, &[]));
    bench.commit(push(A));
    bench.fails("1 configure 2", Outcome::Retry(RetryKind::Locked));
    bench.does("1 configure 2", 3, 3);
    bench.expect_nothing();
    assert_eq!(bench.lanes.lane(A).unwrap().applied, Offset(3));

    // The same with a crash in between: the state alone does not tell that something is missing.
    let registry = bench.lanes.checkpoint().unwrap().registry;
    let start = Checkpoint { replication: Offset(3), registry, ..Checkpoint::default() };
    let mut bench = Bench::with(Mode::Direct, start, Origin::Checkpoint);
    bench.commit(updated(A, &[]));
    bench.commit(bundles(A));
    bench.commit(push(A));
    bench.does("1 open", 6, 6);
    let told =
        |bench: &Bench| (bench.lanes.lane(A).unwrap().applied.0, bench.lanes.progress().unwrap().applied_through.0);
    assert_eq!(told(&bench), (3, 3), "the log must give these records again, and a push waits");
    bench.does("1 configure 4", 6, 6);
    assert_eq!(told(&bench), (4, 4));
    bench.does("1 advertise 5", 6, 6);
    assert_eq!(told(&bench), (6, 6));
    bench.expect_nothing();
}

#[test]
fn records_said_twice_change_nothing_and_gaps_are_refused() {
    let mut bench = Bench::new(Mode::Direct);
    bench.create();
    assert_eq!(bench.lanes.committed(Offset(1), &push(A)), Ok(None));
    assert_eq!(bench.lanes.received(), Offset(1));
    let gap = bench.lanes.committed(Offset(3), &push(A)).unwrap_err();
    assert_eq!((gap.expected, gap.got), (Offset(2), Offset(3)));
}

#[test]
fn lanes_do_not_wait_for_each_other_and_the_bound_is_kept() {
    let mut bench = Bench::new(Mode::Direct);
    for path in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        bench.commit(created(path, &[]));
    }
    let first = bench.actions();
    assert_eq!(first.len(), 8);
    bench.expect_nothing();
    bench.lanes.finished(first[3].0, Outcome::Missing, bench.now);
    bench.expect("9 open");
}
