use super::*;
use crate::lanes::RetryKind;

const FAILED: Outcome = Outcome::Retry(RetryKind::Failed);
const LOCKED: Outcome = Outcome::Retry(RetryKind::Locked);

fn opened(mode: Mode) -> Bench {
    let mut bench = Bench::new(mode);
    bench.create();
    let made = if mode == Mode::Direct { "1 init 1" } else { "1 init 1 hidden" };
    bench.does(made, 1, if mode == Mode::Direct { 1 } else { 0 });
    bench.commit(push(A));
    bench
}

#[test]
fn failures_recover_then_quarantine_and_fetch() {
    let mut bench = opened(Mode::TwoStep);
    bench.release(&[1]);
    bench.does("1 reveal 1", 1, 1);
    bench.fails("1 apply 2 hidden", FAILED);
    bench.does("1 recover false", 1, 1);
    bench.fails("1 apply 2 hidden", FAILED);
    bench.does("1 recover true", 1, 1);
    bench.fails("1 apply 2 hidden", FAILED);
    bench.does("1 recover true", 1, 1);
    bench.fails("1 apply 2 hidden", FAILED);
    bench.does("1 recover true", 1, 1);
    assert_eq!(bench.lanes.quarantined().count(), 0);
    bench.fails("1 apply 2 hidden", FAILED);
    assert_eq!(bench.lanes.quarantined().collect::<Vec<_>>(), [A]);
    let progress = bench.lanes.progress().unwrap();
    assert_eq!(progress.applied_through, Offset(2), "a quarantined lane holds nothing back");
    assert!(progress.lanes[0].quarantined && progress.lanes[0].applied == Offset(1));
    bench.does("1 resync 1 1", 1, 1);
    bench.does("1 apply 2 hidden", 2, 1);
    assert_eq!(bench.lanes.quarantined().count(), 0);
}

#[test]
fn a_quarantined_lane_comes_back_when_it_shows_what_is_released() {
    let mut bench = opened(Mode::TwoStep);
    bench.release(&[1, 2]);
    bench.lanes.resync(A);
    bench.does("1 resync 0 0", 1, 1);
    bench.does("1 apply 2 hidden", 2, 1);
    assert_eq!(bench.lanes.quarantined().count(), 1);
    bench.does("1 show 2", 2, 2);
    assert_eq!(bench.lanes.quarantined().count(), 0);
}

#[test]
fn work_that_a_recovery_finds_done_ends_a_quarantine() {
    let mut bench = opened(Mode::TwoStep);
    bench.release(&[1, 2]);
    bench.lanes.resync(A);
    bench.does("1 resync 0 0", 1, 1);
    bench.does("1 apply 2 hidden", 2, 1);
    bench.fails("1 show 2", FAILED);
    bench.does("1 recover false", 2, 2);
    assert_eq!(bench.lanes.quarantined().count(), 0);
    bench.expect_nothing();
}

#[test]
fn waits_grow_between_failures() {
    let mut bench = opened(Mode::Direct);
    let mut last = Duration::ZERO;
    for _ in 0..6 {
        let ticket = bench.expect("1 apply 2");
        bench.lanes.finished(ticket, LOCKED, bench.now);
        bench.expect_nothing();
        let wait = bench.lanes.next_wake().unwrap() - bench.now;
        assert!(wait > last, "{wait:?} after {last:?}");
        (last, bench.now) = (wait, bench.lanes.next_wake().unwrap());
    }
    assert_eq!(bench.lanes.quarantined().count(), 0, "a person's push holds the lock");
}

#[test]
fn damage_is_recovered_once_and_a_lost_repository_is_fetched_at_once() {
    let mut bench = opened(Mode::TwoStep);
    bench.fails("1 apply 2 hidden", Outcome::Corrupt);
    bench.fails("1 recover true", Outcome::Corrupt);
    bench.fails("1 resync 0 0", FAILED);
    bench.does("1 resync 0 0", 1, 0);
    bench.does("1 apply 2 hidden", 2, 0);
    bench.release(&[1, 2]);
    bench.fails("1 reveal 1", Outcome::Missing);
    // The record that is applied is not kept whole: the copy must have it.
    bench.expect("1 resync 2 0");
}

#[test]
fn a_full_disk_waits_without_quarantine() {
    let mut bench = opened(Mode::TwoStep);
    for _ in 0..20 {
        bench.fails("1 apply 2 hidden", Outcome::Full);
        let lane = bench.lanes.lane(A).unwrap();
        assert!(lane.full && !lane.quarantined);
    }
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(1));
    bench.does("1 apply 2 hidden", 2, 0);
    assert!(!bench.lanes.lane(A).unwrap().full);
}

#[test]
fn an_unknown_record_parks_its_lane_only() {
    let mut bench = Bench::new(Mode::Direct);
    bench.create();
    bench.does("1 init 1", 1, 1);
    let bytes = [vec![77, 1, 0x81], vec![1]].concat();
    bench.commit(Record::decode(&bytes).unwrap());
    bench.commit(push(A));
    bench.expect_nothing();
    assert!(bench.lanes.lane(A).unwrap().quarantined);
    bench.commit(created("b", &[]));
    bench.expect("4 open");
    assert!(bench.lanes.lane(A).unwrap().quarantined);
}

#[test]
fn a_stuck_mirror_lane_lets_go_of_its_records_and_asks_for_a_newer_copy() {
    let mut bench = opened(Mode::TwoStep);
    bench.fails("1 apply 2 hidden", Outcome::Corrupt);
    bench.commit(push(A));
    bench.commit(push(A));
    assert_eq!(bench.lanes.pending(), 0);
    bench.commit(push(A));
    bench.fails("1 resync 4 4", FAILED);
    bench.does("1 resync 4 4", 5, 5);
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(5));
    bench.expect_nothing();
}

#[test]
fn a_stuck_ssh_lane_reads_its_own_log_again() {
    let mut bench = opened(Mode::Direct);
    bench.fails("1 apply 2", FAILED);
    for _ in 0..4 {
        bench.commit(push(A));
    }
    assert_eq!(bench.lanes.pending(), 0);
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(1));
    bench.does("1 recover false", 1, 1);
    let ticket = bench.expect("1 replay 1 false");
    let part = [(Offset(2), push(A)), (Offset(3), push(A))];
    bench.lanes.replayed(ticket, &part, Offset(3), bench.now);
    bench.does("1 apply 2", 2, 2);
    bench.does("1 apply 3", 3, 3);
    let ticket = bench.expect("1 replay 3 false");
    let rest: Vec<_> = (4..=6).map(|offset| (Offset(offset), push(A))).collect();
    bench.lanes.replayed(ticket, &rest, Offset(6), bench.now);
    (4..=6).for_each(|offset| bench.does(&format!("1 apply {offset}"), offset, offset));
    bench.expect_nothing();
    assert_eq!(bench.lanes.progress().unwrap().shown_through, Offset(6));
}

#[test]
fn a_copy_older_than_what_was_read_again_is_read_on_from_there() {
    let mut bench = opened(Mode::Direct);
    bench.fails("1 apply 2", FAILED);
    for _ in 0..4 {
        bench.commit(push(A));
    }
    // It had worked, and its record was let go with the others.
    bench.does("1 recover false", 2, 2);
    let ticket = bench.expect("1 replay 2 false");
    let rest: Vec<_> = (3..=6).map(|offset| (Offset(offset), push(A))).collect();
    bench.lanes.replayed(ticket, &rest, Offset(6), bench.now);
    bench.fails("1 apply 3", Outcome::Corrupt);
    bench.fails("1 recover false", Outcome::Corrupt);
    bench.does("1 resync 0 0", 1, 1);
    bench.expect("1 replay 1 false");
}

#[test]
fn a_lane_that_cannot_follow_still_ends() {
    let mut bench = opened(Mode::TwoStep);
    bench.fails("1 apply 2 hidden", Outcome::Corrupt);
    bench.fails("1 recover true", Outcome::Corrupt);
    bench.fails("1 resync 0 0", Outcome::Missing);
    bench.commit(deleted(A));
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(3));
    bench.expect_nothing();
    bench.release(&[1, 2, 3]);
    bench.does("1 remove 3", 0, 0);
    assert_eq!(bench.lanes.lane(A), None);
}

#[test]
fn a_copy_that_is_ahead_of_the_end_is_removed_too() {
    let mut bench = opened(Mode::TwoStep);
    bench.fails("1 apply 2 hidden", Outcome::Corrupt);
    bench.fails("1 recover true", Outcome::Corrupt);
    let ticket = bench.expect("1 resync 0 0");
    bench.commit(updated(A, &["staff"]));
    // The master's copy has the record by which mirrors drop the repository.
    bench.done(ticket, 3, 3);
    bench.expect_nothing();
    bench.release(&[1, 2, 3]);
    bench.does("1 remove 3", 0, 0);
}

#[test]
fn who_has_asked_often_enough_may_take_what_is_left_here() {
    let mut bench = Bench::new(Mode::Direct);
    bench.create();
    bench.does("1 init 1", 1, 1);
    bench.lanes.resync(A);
    (0..5).for_each(|_| bench.fails("1 resync 0 0", Outcome::Missing));
    bench.fails("1 replay 0 true", Outcome::Missing);
    (0..3).for_each(|_| bench.fails("1 resync 0 0", Outcome::Missing));
    bench.does("1 resync 0 0 alone", 1, 1);
    bench.expect_nothing();
}

/// Shows in each mode the record that nobody can apply, and what the lane does when a person gives it up.
#[test]
fn a_record_that_was_given_up_is_passed_over() {
    let mut bench = opened(Mode::TwoStep);
    bench.release(&[1]);
    bench.does("1 reveal 1", 1, 1);
    for _ in 0..2 {
        bench.fails("1 apply 2 hidden", Outcome::Corrupt);
        if bench.lanes.quarantined().count() == 0 {
            bench.does("1 recover true", 1, 1);
        }
    }
    bench.fails("1 resync 1 1", Outcome::Missing);
    bench.commit(push(A));
    bench.commit(skip(A, Offset(2)));
    bench.now += Duration::from_secs(60);
    bench.does("1 recover true", 1, 1);
    bench.does("1 hide 2", 2, 1);
    bench.does("1 apply 3 hidden", 3, 1);
    bench.does("1 hide 4", 4, 1);
    bench.release(&[2, 3, 4]);
    bench.does("1 reveal 2", 4, 2);
    bench.does("1 show 3", 4, 3);
    bench.does("1 reveal 4", 4, 4);
    assert_eq!(bench.lanes.quarantined().count(), 0);

    let mut bench = opened(Mode::Direct);
    bench.fails("1 apply 2", Outcome::Corrupt);
    bench.does("1 recover false", 1, 1);
    bench.fails("1 apply 2", Outcome::Corrupt);
    bench.commit(skip(A, Offset(2)));
    bench.now += Duration::from_secs(60);
    bench.does("1 recover false", 1, 1);
    bench.does("1 reveal 2", 2, 2);
    bench.does("1 reveal 3", 3, 3);
    assert_eq!(bench.lanes.quarantined().count(), 0);
    // What is applied stays applied.
    bench.commit(push(A));
    bench.does("1 apply 4", 4, 4);
    bench.commit(skip(A, Offset(4)));
    bench.does("1 reveal 5", 5, 5);
    bench.expect_nothing();
}

/// An SSH instance that reads its log again meets the record before it meets its end.
#[test]
fn a_record_that_was_given_up_is_passed_over_when_the_log_is_read_again() {
    let mut bench = opened(Mode::Direct);
    bench.commit(skip(A, Offset(2)));
    bench.lanes.resync(A);
    for _ in 0..5 {
        bench.fails("1 resync 0 0", Outcome::Missing);
    }
    let ticket = bench.expect("1 replay 0 true");
    bench.lanes.replayed(ticket, &[(Offset(1), created("a", &[])), (Offset(2), push(A))], Offset(2), bench.now);
    bench.does("1 init 1", 1, 1);
    bench.does("1 reveal 2", 2, 2);
}
