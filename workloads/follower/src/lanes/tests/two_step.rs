use super::*;
use crate::lanes::Hidden;

fn mirror() -> Bench {
    let mut bench = Bench::new(Mode::TwoStep);
    bench.create();
    bench.does("1 init 1 hidden", 1, 0);
    bench.expect_nothing();
    assert!(!bench.lanes.lane(A).unwrap().routable);
    bench.release(&[1]);
    bench.does("1 reveal 1", 1, 1);
    assert!(bench.lanes.lane(A).unwrap().routable);
    bench
}

#[test]
fn a_push_is_applied_hidden_and_shown_when_released_in_order() {
    let mut bench = mirror();
    bench.commit(push(A));
    bench.commit(push(A));
    bench.does("1 apply 2 hidden", 2, 1);
    bench.does("1 apply 3 hidden", 3, 1);
    bench.release(&[3]);
    bench.expect_nothing();
    bench.release(&[2]);
    bench.does("1 show 2", 3, 2);
    bench.does("1 show 3", 3, 3);
    let progress = bench.lanes.progress().unwrap();
    assert_eq!((progress.applied_through, progress.shown_through), (Offset(3), Offset(3)));
}

#[test]
fn a_release_may_come_before_its_record() {
    let mut bench = mirror();
    bench.release(&[2]);
    bench.commit(push(A));
    bench.does("1 apply 2 hidden", 2, 1);
    bench.does("1 show 2", 2, 2);
}

#[test]
fn strip_and_deletion_are_barriers() {
    let mut bench = mirror();
    bench.commit(strip(A));
    bench.commit(push(A));
    bench.commit(deleted(A));
    bench.does("1 hide 2", 2, 1);
    assert_eq!(bench.lanes.lane(A).unwrap().hidden, Some(Hidden::Stripping));
    bench.expect_nothing();
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(2));
    bench.release(&[2]);
    bench.does("1 strip 2", 2, 2);
    assert!(bench.lanes.lane(A).unwrap().routable);
    bench.does("1 apply 3 hidden", 3, 2);
    bench.does("1 hide 4", 4, 2);
    assert_eq!(bench.lanes.lane(A).unwrap().hidden, Some(Hidden::Deleted));
    bench.release(&[3, 4]);
    bench.does("1 show 3", 4, 3);
    bench.does("1 remove 4", 0, 0);
    assert_eq!(bench.lanes.lane(A), None);
}

#[test]
fn settings_and_manifests_wait_for_the_release_without_work_before() {
    let mut bench = mirror();
    bench.commit(updated(A, &[]));
    bench.commit(bundles(A));
    bench.expect_nothing();
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(3));
    bench.release(&[2, 3]);
    bench.does("1 configure 2", 2, 2);
    bench.does("1 advertise 3", 3, 3);
}

#[test]
fn private_repositories_are_never_here() {
    let mut bench = mirror();
    bench.commit(created("p", &["staff"]));
    bench.commit(push(CreationId(2)));
    bench.expect_nothing();
    assert_eq!(bench.lanes.progress().unwrap().shown_through, Offset(3));
    // It becomes private: hidden, then gone, and its records pass.
    bench.commit(updated(A, &["staff"]));
    bench.commit(push(A));
    bench.does("1 hide 4", 4, 1);
    assert_eq!(bench.lanes.lane(A).unwrap().hidden, Some(Hidden::BecamePrivate));
    bench.release(&[4]);
    bench.does("1 remove 4", 0, 0);
    assert_eq!(bench.lanes.progress().unwrap().shown_through, Offset(5));
    assert_eq!(bench.lanes.lane(A), None);
    // Public again: fetched, and routed to when that is released.
    bench.commit(updated(A, &[]));
    bench.does("1 resync 6 6", 6, 6);
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(6));
    assert_eq!(bench.lanes.progress().unwrap().shown_through, Offset(5));
    assert!(!bench.lanes.lane(A).unwrap().routable);
    bench.release(&[6]);
    assert!(bench.lanes.lane(A).unwrap().routable);
    assert_eq!(bench.lanes.progress().unwrap().shown_through, Offset(6));
}

#[test]
fn after_a_restart_the_repository_says_what_is_done() {
    let mut first = mirror();
    let checkpoint = first.lanes.checkpoint().unwrap();
    assert_eq!((checkpoint.replication, checkpoint.publication), (Offset(1), Offset(1)));
    let mut bench = Bench::with(Mode::TwoStep, checkpoint, Origin::Checkpoint);
    assert_eq!(bench.lanes.progress(), None);
    bench.commit(push(A));
    bench.commit(push(A));
    bench.release(&[2]);
    // It had applied both and shown one before the crash.
    bench.does("1 open", 3, 2);
    bench.expect_nothing();
    bench.release(&[3]);
    bench.does("1 show 3", 3, 3);
}

#[test]
fn the_checkpoint_asks_for_releases_that_are_still_needed() {
    let mut bench = mirror();
    bench.commit(push(A));
    bench.commit(created("b", &[]));
    bench.fails_all_open();
    bench.release(&[3]);
    bench.release(&[2]);
    // Nothing after record 1 is shown: both releases must be read again.
    let checkpoint = bench.lanes.checkpoint().unwrap();
    assert_eq!((checkpoint.replication, checkpoint.publication), (Offset(1), Offset(1)));
    assert_eq!(checkpoint.registry.len(), 1);
    assert_eq!(bench.lanes.registry().len(), 2);
}

impl Bench {
    /// Starts what there is; new repositories are not there yet.
    fn fails_all_open(&mut self) {
        for (ticket, said) in self.actions() {
            if said.ends_with("open") {
                self.lanes.finished(ticket, Outcome::Missing, self.now);
            }
        }
    }
}

#[test]
fn it_is_ready_when_it_shows_what_was_released_when_it_became_active() {
    let mut bench = mirror();
    bench.lanes.welcome(Offset(2));
    assert!(!bench.lanes.ready());
    bench.commit(push(A));
    bench.commit(push(A));
    bench.release(&[2]);
    assert!(!bench.lanes.ready(), "not active");
    bench.publish(active("m"));
    bench.does("1 apply 2 hidden", 2, 1);
    assert!(!bench.lanes.ready(), "released and not shown");
    bench.does("1 show 2", 2, 2);
    assert!(bench.lanes.ready(), "record 3 is not released");
    bench.does("1 apply 3 hidden", 3, 2);
    bench.release(&[3]);
    assert!(bench.lanes.ready(), "release waits for it now");
    bench.publish(inactive("other"));
    assert!(bench.lanes.ready());
    bench.publish(inactive("m"));
    assert!(!bench.lanes.ready());
}

#[test]
fn a_newcomer_fetches_everything_and_counts_as_behind_until_then() {
    let mut first = mirror();
    let registry = first.lanes.checkpoint().unwrap().registry;
    let unreleased = [(A, vec![Offset(1)])].into();
    let start = Checkpoint { replication: Offset(1), publication: Offset(0), registry, unreleased, active: false };
    let mut bench = Bench::with(Mode::TwoStep, start, Origin::Snapshot);
    bench.commit(push(A));
    bench.fails("1 open", Outcome::Missing);
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(0));
    assert_eq!(bench.lanes.checkpoint(), None);
    // The master's copy is ahead of what is released.
    bench.does("1 resync 1 1", 2, 2);
    assert_eq!(bench.lanes.progress().unwrap().applied_through, Offset(2));
    assert!(!bench.lanes.lane(A).unwrap().routable);
    bench.release(&[1]);
    assert_eq!(bench.lanes.lane(A).unwrap().shown, Offset(1));
    bench.release(&[2]);
    assert!(bench.lanes.lane(A).unwrap().routable);
    bench.expect_nothing();
    assert_eq!(bench.lanes.leftovers([CreationId(1), CreationId(0), CreationId(7)]), [CreationId(0)]);
}
