use stateright::{Checker, Model};

use crate::{Bounds, Bug, Protocol};

const NOTHING: Bounds = Bounds { pushes: 0, promotions: 0, reopenings: 0, lost_disks: 0 };
const PLAIN: Bounds = Bounds { pushes: 3, promotions: 2, ..NOTHING };

fn holds(protocol: Protocol) {
    let bounds = protocol.bounds;
    let begun = std::time::Instant::now();
    let checker = protocol.checker().spawn_bfs().join();
    let (states, depth, seconds) = (checker.unique_state_count(), checker.max_depth(), begun.elapsed().as_secs_f64());
    println!("{bounds:?}: {states} states, {depth} steps deep, {seconds:.1} s");
    checker.assert_properties();
}

#[test]
fn three_instances_three_records_two_promotions() {
    holds(Protocol { bounds: PLAIN, bug: None, simplifies: true });
}

#[test]
fn masters_that_open_again() {
    holds(Protocol { bounds: Bounds { reopenings: 1, ..PLAIN }, bug: None, simplifies: true });
}

#[test]
fn a_disk_that_is_lost() {
    holds(Protocol { bounds: Bounds { pushes: 2, lost_disks: 1, ..PLAIN }, bug: None, simplifies: true });
}

/// Finds nothing where nothing is forgotten: what is forgotten as moot would show here, if it were not.
#[test]
fn nothing_is_found_where_nothing_is_forgotten() {
    for (pushes, promotions, reopenings, lost_disks) in [(2, 1, 0, 0), (1, 1, 1, 0), (1, 1, 0, 1)] {
        let bounds = Bounds { pushes, promotions, reopenings, lost_disks };
        holds(Protocol { bounds, bug: None, simplifies: false });
    }
}

fn is_found(bug: Bug, bounds: Bounds) {
    let checker = Protocol { bounds, bug: Some(bug), simplifies: false }.checker().spawn_bfs().join();
    let path = checker.assert_any_discovery("one history");
    println!("{bug:?}: found among {} states: {:?}", checker.unique_state_count(), path.into_actions());
}

#[test]
fn skipping_the_seal_is_found() {
    is_found(Bug::SkipSeal, PLAIN);
}

#[test]
fn forgetting_the_seal_at_a_restart_is_found() {
    is_found(Bug::ForgetSealAtRestart, PLAIN);
}

#[test]
fn shrinking_the_set_after_the_commit_is_found() {
    is_found(Bug::ShrinkAfterCommit, PLAIN);
}

#[test]
fn forgetting_a_write_whose_answer_was_lost_is_found() {
    is_found(Bug::ForgetUnansweredWrite, PLAIN);
}

#[test]
fn committing_alone_after_a_promotion_is_found() {
    is_found(Bug::CommitAloneAfterPromotion, PLAIN);
}

#[test]
fn promoting_an_out_of_sync_standby_is_found() {
    is_found(Bug::PromoteOutOfSync, PLAIN);
}

#[test]
fn acknowledging_before_fsync_is_found() {
    is_found(Bug::AcknowledgeBeforeFsync, PLAIN);
}

#[test]
fn naming_a_newcomer_before_commits_wait_for_it_is_found() {
    is_found(Bug::GrowBeforeCommitsWait, PLAIN);
}

#[test]
fn adding_a_newcomer_that_lacks_what_the_reign_began_with_is_found() {
    is_found(Bug::ForgetWhatTheReignBeganWith, PLAIN);
}

#[test]
fn reusing_a_generation_is_found() {
    is_found(Bug::ReuseGeneration, Bounds { reopenings: 1, ..PLAIN });
}

#[test]
fn keeping_the_name_of_a_lost_disk_is_found() {
    is_found(Bug::KeepNameOfLostDisk, Bounds { lost_disks: 1, ..PLAIN });
}
