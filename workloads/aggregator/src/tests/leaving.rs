use protocol::status::MirrorState;

use super::*;

/// Two active mirrors, of which `b` does not apply record 1 in time.
fn late() -> Bench {
    let mut bench = Bench::with(&["a", "b"]);
    bench.commit(R);
    bench.says("a", 1, 0, &[]);
    bench.pass(31);
    bench
}

#[test]
fn it_leaves_the_endpoints_first_and_the_set_when_no_client_is_left() {
    let mut bench = late();
    assert_eq!(bench.desired(), ["a"]);
    bench.waits();
    bench.reports(&[("a", 5, true), ("b", 0, false)]);
    bench.waits();
    bench.reports(&[("a", 5, true), ("b", 2, false)]);
    bench.waits();
    bench.reports(&[("a", 5, true), ("b", 0, false)]);
    bench.appends(&[inactive("b", InactiveReason::Lagging)]);
    bench.appends(&[released(&[1])]);
}

#[test]
fn connections_end_with_age_even_when_they_are_still_reported() {
    let mut bench = late();
    for _ in 0..30 {
        bench.reports(&[("b", 1, false)]);
        bench.pass(1);
        bench.waits();
    }
    bench.reports(&[("b", 1, false)]);
    bench.pass(1);
    bench.reports(&[("b", 1, false)]);
    bench.appends(&[inactive("b", InactiveReason::Lagging)]);
}

#[test]
fn without_a_fresh_report_publication_waits() {
    let mut bench = late();
    bench.pass(600);
    bench.waits();
    bench.reports(&[]);
    bench.reports(&[]);
    bench.pass(6);
    bench.waits();
    bench.reports(&[]);
    bench.appends(&[inactive("b", InactiveReason::Lagging)]);
}

#[test]
fn back_in_rotation_is_not_gone() {
    let mut bench = late();
    bench.reports(&[("b", 0, false)]);
    bench.reports(&[("b", 0, true)]);
    bench.waits();
}

#[test]
fn one_that_catches_up_meanwhile_stays() {
    let mut bench = late();
    bench.says("b", 1, 0, &[]);
    bench.pass(1);
    assert_eq!(bench.desired(), ["a", "b"]);
    bench.appends(&[released(&[1])]);
}

#[test]
fn the_last_one_stays_and_publication_waits() {
    let mut bench = Bench::with(&["a"]);
    bench.commit(R);
    bench.pass(31);
    assert!(bench.core.at_floor());
    assert_eq!(bench.desired(), ["a"]);
    assert_eq!(bench.core.mirrors()[0].state, MirrorState::Lagging);
    bench.reports(&[]);
    bench.reports(&[]);
    bench.waits();
}

#[test]
fn silence_leaves_too_and_the_worst_goes_first() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.commit(R);
    bench.core.mirror_lost(&name("a"), bench.now);
    bench.pass(31);
    // Both are late, but only one may go.
    assert_eq!(bench.desired(), ["b"]);
    assert!(bench.core.at_floor());
    assert_eq!(bench.core.mirrors()[0].state, MirrorState::Unreachable);
    bench.reports(&[]);
    bench.reports(&[]);
    bench.appends(&[inactive("a", InactiveReason::Unreachable)]);
}

#[test]
fn one_that_is_removed_goes_whatever_the_floor_says() {
    let mut bench = Bench::with(&["a"]);
    bench.commit(R);
    // It ends on its own time.
    bench.exist(&[]);
    bench.reports(&[]);
    bench.reports(&[]);
    bench.waits();
    bench.core.mirror_lost(&name("a"), bench.now);
    bench.exist(&[]);
    bench.reports(&[]);
    bench.waits();
    bench.exist(&[]);
    bench.reports(&[]);
    bench.appends(&[inactive("a", InactiveReason::Removed)]);
    bench.appends(&[released(&[1]), published(&[1])]);
    bench.pass(1);
    assert_eq!(bench.core.mirrors().len(), 0, "it is forgotten");
}

#[test]
fn one_that_is_away_and_expected_back_keeps_its_place_at_the_floor() {
    let mut bench = Bench::with(&["a"]);
    bench.commit(R);
    bench.core.mirror_lost(&name("a"), bench.now);
    bench.exist(&[]);
    bench.exist(&["a"]);
    for _ in 0..3 {
        bench.reports(&[]);
        bench.pass(60);
    }
    bench.waits();
    assert_eq!(bench.core.mirrors()[0].state, MirrorState::Unreachable);
}

#[test]
fn waiting_behind_a_barrier_is_no_lag() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.commit_as(R, true, true);
    bench.commit(R);
    // `a` has hidden the changesets and may not go on before `b` has.
    bench.says("a", 1, 0, &[]);
    bench.pass(31);
    assert_eq!(bench.desired(), ["a"]);
    let lags: Vec<u64> = bench.core.mirrors().iter().map(|mirror| mirror.lag_records).collect();
    assert_eq!(lags, [0, 2]);
}

#[test]
fn what_is_released_and_not_shown_is_lag_too() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.commit(R);
    bench.says("a", 1, 0, &[]);
    bench.says("b", 1, 0, &[]);
    bench.appends(&[released(&[1])]);
    bench.says("a", 1, 1, &[]);
    bench.pass(31);
    assert_eq!(bench.desired(), ["a"]);
}

#[test]
fn it_returns_when_it_has_caught_up() {
    let mut bench = late();
    bench.reports(&[]);
    bench.reports(&[]);
    bench.appends(&[inactive("b", InactiveReason::Lagging)]);
    bench.appends(&[released(&[1])]);
    bench.says("b", 1, 0, &[]);
    bench.waits();
    bench.says("b", 1, 1, &[]);
    bench.appends(&[active("b")]);
    assert_eq!(bench.desired(), ["a", "b"]);
}
