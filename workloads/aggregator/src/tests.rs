//! Tables by value: commits, words of mirrors and of the balancer in, records of the publication log out.

mod leaving;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::endpoints::Serving;
use protocol::record::{InactiveReason, MirrorActive, MirrorInactive, Offsets};
use protocol::stream::{LaneProgress, Progress};
use protocol::{CreationId, InstanceName, Offset, Record};

use crate::{Committed, Core, Options};

const R: CreationId = CreationId(1);
const S: CreationId = CreationId(2);

struct Bench {
    core: Core,
    now: Duration,
    committed: u64,
    place: u64,
    newest: BTreeMap<CreationId, Offset>,
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn offsets(offsets: &[u64]) -> Offsets {
    Offsets { offsets: offsets.iter().map(|offset| Offset(*offset)).collect() }
}

fn released(list: &[u64]) -> Record {
    Record::Released(offsets(list))
}

fn published(list: &[u64]) -> Record {
    Record::Published(offsets(list))
}

fn active(mirror: &str) -> Record {
    Record::MirrorActive(MirrorActive { mirror: name(mirror) })
}

fn inactive(mirror: &str, reason: InactiveReason) -> Record {
    Record::MirrorInactive(MirrorInactive { mirror: name(mirror), reason })
}

fn lane(repository: CreationId, applied: u64, shown: u64, quarantined: bool) -> LaneProgress {
    LaneProgress { repository, applied: Offset(applied), shown: Offset(shown), quarantined }
}

impl Bench {
    fn new() -> Bench {
        let core = Core::new(Options::default(), Offset::ZERO, Offset::ZERO, Duration::ZERO);
        Bench { core, now: Duration::ZERO, committed: 0, place: 0, newest: BTreeMap::new() }
    }

    /// With these mirrors connected and active.
    fn with(mirrors: &[&str]) -> Bench {
        let mut bench = Bench::new();
        for mirror in mirrors {
            bench.core.mirror_connected(&name(mirror), bench.now);
            bench.says(mirror, 0, 0, &[]);
        }
        let wanted: Vec<Record> = mirrors.iter().map(|mirror| active(mirror)).collect();
        bench.appends(&wanted);
        bench
    }

    fn commit(&mut self, repository: CreationId) {
        self.commit_as(repository, true, false);
    }

    fn commit_as(&mut self, repository: CreationId, public: bool, barrier: bool) {
        self.committed += 1;
        let offset = Offset(self.committed);
        let before = self.newest.insert(repository, offset).unwrap_or_default();
        let record = Committed { offset, repository: Some(repository), before, public, barrier, last: false };
        self.core.committed(record, self.now);
    }

    fn says(&mut self, mirror: &str, applied: u64, shown: u64, lanes: &[LaneProgress]) {
        let progress = Progress {
            applied_through: Offset(applied),
            shown_through: Offset(shown),
            lanes: lanes.to_vec(),
            ..Progress::default()
        };
        self.core.progress(&name(mirror), progress, self.now);
    }

    /// Expects this batch, which is then committed.
    fn appends(&mut self, wanted: &[Record]) {
        assert_eq!(self.core.batch().unwrap_or_default(), wanted);
        assert_eq!(self.core.batch(), None, "one batch at a time");
        wanted.iter().for_each(|record| self.replay(record));
    }

    fn replay(&mut self, record: &Record) {
        self.place += 1;
        self.core.publication(Offset(self.place), record, self.now);
    }

    fn waits(&mut self) {
        assert_eq!(self.core.batch(), None);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.core.tick(self.now);
    }

    fn exist(&mut self, names: &[&str]) {
        self.core.only_these_exist(&names.iter().map(|text| name(text)).collect(), self.now);
    }

    fn reports(&mut self, serving: &[(&str, u64, bool)]) {
        let report: Vec<Serving> = serving
            .iter()
            .map(|(mirror, connections, in_rotation)| Serving {
                name: name(mirror),
                connections: *connections,
                in_rotation: *in_rotation,
            })
            .collect();
        self.core.endpoints(&report, self.now);
    }

    fn desired(&self) -> Vec<String> {
        self.core.desired().into_iter().map(String::from).collect()
    }
}

#[test]
fn without_mirrors_everything_is_published_when_committed() {
    let mut bench = Bench::new();
    bench.commit(R);
    bench.commit_as(S, false, false);
    bench.appends(&[released(&[1, 2]), published(&[1, 2])]);
    assert_eq!(bench.core.published_through(), Offset(2));
    assert_eq!(bench.core.published(S), Some(Offset(2)));
}

#[test]
fn release_waits_for_all_to_apply_and_publication_for_all_to_show() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.commit(R);
    bench.commit(S);
    assert_eq!(bench.core.published(S), Some(Offset::ZERO), "it has not been shown anywhere");
    bench.says("a", 2, 0, &[]);
    bench.says("b", 0, 0, &[lane(S, 2, 0, false)]);
    bench.appends(&[released(&[2])]);
    bench.says("b", 2, 0, &[]);
    bench.appends(&[released(&[1])]);
    bench.says("a", 2, 2, &[]);
    bench.waits();
    bench.says("b", 2, 1, &[]);
    bench.appends(&[published(&[1])]);
    bench.says("b", 2, 2, &[]);
    bench.appends(&[published(&[2])]);
}

#[test]
fn private_records_concern_no_mirror() {
    let mut bench = Bench::with(&["a"]);
    bench.commit_as(R, false, false);
    bench.appends(&[released(&[1]), published(&[1])]);
}

#[test]
fn a_repository_in_quarantine_does_not_count_unless_it_is_so_everywhere() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.commit(R);
    bench.says("a", 1, 0, &[lane(R, 0, 0, true)]);
    bench.says("b", 1, 0, &[lane(R, 0, 0, true)]);
    bench.waits();
    bench.says("b", 1, 0, &[]);
    bench.appends(&[released(&[1])]);
    bench.says("b", 1, 1, &[]);
    bench.appends(&[published(&[1])]);
}

#[test]
fn only_words_of_the_present_connection_count() {
    let mut bench = Bench::with(&["a"]);
    bench.commit(R);
    bench.says("a", 1, 0, &[]);
    bench.core.mirror_lost(&name("a"), bench.now);
    bench.waits();
    bench.core.mirror_connected(&name("a"), bench.now);
    bench.waits();
    // It lost its power and what it had said.
    bench.says("a", 0, 0, &[]);
    bench.waits();
    bench.says("a", 1, 0, &[]);
    bench.appends(&[released(&[1])]);
}

#[test]
fn a_mirror_joins_when_it_has_nearly_caught_up_and_serves_when_it_shows_what_was_released() {
    let mut bench = Bench::with(&["a"]);
    for _ in 0..300 {
        bench.commit(R);
    }
    bench.says("a", 300, 300, &[]);
    let all: Vec<u64> = (1..=300).collect();
    bench.appends(&[released(&all)]);
    bench.appends(&[published(&all)]);
    bench.core.mirror_connected(&name("b"), bench.now);
    bench.waits();
    bench.says("b", 199, 199, &[]);
    bench.waits();
    bench.says("b", 250, 250, &[]);
    bench.appends(&[active("b")]);
    assert_eq!(bench.desired(), ["a"]);
    bench.says("b", 300, 299, &[]);
    assert_eq!(bench.desired(), ["a"]);
    bench.says("b", 300, 300, &[]);
    assert_eq!(bench.desired(), ["a", "b"]);
}

#[test]
fn a_new_core_goes_on_from_the_logs_and_believes_nobody_yet() {
    let mut bench = Bench::new();
    // The publication log may be replayed first.
    for record in [active("a"), released(&[1, 2]), published(&[1])] {
        bench.replay(&record);
    }
    bench.commit(R);
    bench.commit(R);
    bench.commit(R);
    bench.waits();
    assert_eq!(bench.core.published_through(), Offset(1));
    assert_eq!(bench.desired(), ["a"]);
    bench.core.mirror_connected(&name("a"), bench.now);
    bench.says("a", 3, 2, &[]);
    bench.appends(&[released(&[3]), published(&[2])]);
    let retention = bench.core.retention();
    assert_eq!((retention.replication, retention.publication), (Offset(0), Offset(0)));
}

#[test]
fn a_batch_that_was_not_appended_is_said_again_and_welcome_counts_it() {
    let mut bench = Bench::new();
    bench.commit(R);
    let batch = bench.core.batch().unwrap();
    assert_eq!(bench.core.welcome(), Offset(2));
    bench.core.batch_failed();
    assert_eq!(bench.core.welcome(), Offset(0));
    bench.appends(&batch);
}

#[test]
fn batches_are_bounded() {
    let mut bench = Bench::new();
    bench.core = Core::new(Options { max_batch_offsets: 2, ..Options::default() }, Offset(0), Offset(0), bench.now);
    for _ in 0..3 {
        bench.commit(R);
    }
    bench.appends(&[released(&[1, 2]), published(&[1, 2])]);
    bench.appends(&[released(&[3]), published(&[3])]);
}

#[test]
fn an_old_word_of_activity_is_said_again_for_retention() {
    let mut bench = Bench::with(&["a"]);
    for place in 2..=10_001 {
        bench.place = place;
        bench.core.publication(Offset(place), &released(&[]), bench.now);
    }
    bench.appends(&[active("a")]);
    bench.waits();
}
