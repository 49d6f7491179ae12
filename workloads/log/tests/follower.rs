//! A standby's side: storing, truncating where logs fork, beginning anew, and what retention leaves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod rig;

use std::time::{Duration, SystemTime};

use log::{Cut, Level, Log, LogError, Retention};
use protocol::{Entry, Generation, Offset};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use rig::{commit, entries, lead, open, options, read, record, segment_files};

fn entry(offset: u64, generation: u64) -> Entry {
    let bytes = record(offset * 1000 + generation, 20).encode();
    Entry { offset: Offset(offset), generation: Generation(generation), bytes }
}

#[tokio::test]
async fn a_follower_stores_syncs_and_commits() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    assert_eq!(log.wanted(), (Offset(1), Generation(0)));
    log.store((1..=5).map(|offset| entry(offset, 1 + offset / 4)).collect()).await.unwrap();
    assert_eq!((log.positions().end, log.positions().durable), (Offset(5), Offset(0)));
    log.set_committed(Offset(9)).await;
    assert_eq!(log.sync().await, Ok(Offset(5)));
    assert_eq!((log.positions().durable, log.positions().committed), (Offset(5), Offset(5)));
    assert_eq!(log.wanted(), (Offset(6), Generation(2)));
    assert!(matches!(log.store(vec![entry(7, 2)]).await, Err(LogError::Gap { .. })));
    assert!(matches!(log.truncate(Offset(5), Cut::Uncommitted).await, Err(LogError::Committed { .. })));
    assert_eq!(entries(&mut log.subscribe(Offset(1), Level::Committed), 5).await.len(), 5);
    lead(&log, 3).await;
    assert!(matches!(log.store(vec![entry(6, 3)]).await, Err(LogError::Leading(_))));
}

#[tokio::test]
async fn forked_logs_agree_again() {
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..40 {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut common: Vec<u64> = (0..random.random_range(0..6)).map(|_| random.random_range(1..3)).collect();
        common.sort();
        // Each reign has one writer: what the two have alone is of different generations.
        let mut own = |of: [u64; 2]| {
            let more: Vec<u64> = (0..random.random_range(0..6)).map(|_| of[random.random_range(0..2)]).collect();
            let mut all = [common.clone(), more].concat();
            all.sort();
            all
        };
        let (ours, theirs) = (own([4, 6]), own([3, 5]));
        let [master, follower] = [(&here, &ours), (&there, &theirs)].map(|(home, generations)| {
            let log = Log::open(options(home.path(), 150)).unwrap();
            let stored = (1..).zip(generations).map(|(offset, g)| entry(offset, *g)).collect::<Vec<_>>();
            (log, stored)
        });
        master.0.store(master.1.clone()).await.unwrap();
        follower.0.store(follower.1).await.unwrap();
        let follower = follower.0;
        loop {
            let (from, generation) = follower.wanted();
            let Some(fork) = master.0.fork(from, generation) else { break };
            follower.truncate(fork, Cut::Uncommitted).await.unwrap();
        }
        assert_eq!(follower.positions().end.0, common.len() as u64, "round {round}: {ours:?} {theirs:?}");
        follower.store(master.1).await.unwrap();
        drop(follower);
        let again = open(there.path());
        let expected: Vec<u64> = (1..).zip(&ours).map(|(offset, g)| offset * 1000 + g).collect();
        assert_eq!(read(&again, 1, ours.len()).await, expected, "round {round}: {ours:?} {theirs:?}");
    }
}

#[tokio::test]
async fn a_newcomer_begins_behind_its_snapshot() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 150)).unwrap();
    log.store((1..=20).map(|offset| entry(offset, 1)).collect()).await.unwrap();
    for (start, before) in [(10, 5), (500, 7)] {
        log.reset(Offset(start), Generation(before)).await.unwrap();
        assert_eq!(segment_files(home.path()).len(), 1);
        assert_eq!(log.wanted(), (Offset(start), Generation(before)));
    }
    let truncated = log.truncate(Offset(499), Cut::AlsoCommitted).await;
    assert!(matches!(truncated, Err(LogError::BelowStart { .. })));
    drop(log);
    let log = open(home.path());
    assert_eq!(log.positions().start, Offset(500));
    assert_eq!((log.positions().committed, log.positions().durable), (Offset(499), Offset(499)));
    log.store(vec![entry(500, 7), entry(501, 8)]).await.unwrap();
    drop(log);
    assert_eq!(open(home.path()).positions().end, Offset(501));
}

#[tokio::test]
async fn a_reset_that_a_crash_interrupted_is_finished() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 150)).unwrap();
    log.store((1..=20).map(|offset| entry(offset, 1)).collect()).await.unwrap();
    let old: Vec<_> = segment_files(home.path()).iter().map(|f| (f.clone(), std::fs::read(f).unwrap())).collect();
    log.reset(Offset(100), Generation(3)).await.unwrap();
    drop(log);
    old.iter().skip(2).for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    std::fs::write(home.path().join("00000000000000000300.segment.new"), "half").unwrap();
    assert_eq!(open(home.path()).positions().start, Offset(100));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2, "the segment and the version");
}

#[tokio::test]
async fn an_emptied_log_remembers_where_it_starts() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    log.reset(Offset(100), Generation(3)).await.unwrap();
    log.store(vec![entry(100, 4), entry(101, 5)]).await.unwrap();
    log.truncate(Offset(100), Cut::Uncommitted).await.unwrap();
    drop(log);
    let log = open(home.path());
    assert_eq!((log.positions().start, log.wanted()), (Offset(100), (Offset(100), Generation(3))));
    log.store(vec![entry(100, 6)]).await.unwrap();
    drop(log);
    assert_eq!(open(home.path()).wanted(), (Offset(101), Generation(6)));
}

#[tokio::test]
async fn trimming_keeps_what_is_held_needed_or_young() {
    let home = tempfile::tempdir().unwrap();
    let mut options = options(home.path(), 500);
    options.retention = Retention { age: Duration::from_secs(60), bytes: 2000 };
    let log = Log::open(options).unwrap();
    lead(&log, 1).await;
    for turn in 0..100 {
        commit(&log, 1, &record(turn, 50)).await;
    }
    let now = SystemTime::now();
    assert_eq!(log.retain(now, Offset(1)).await, Ok(Offset(1)), "an active instance needs everything");
    let hold = log.hold(Offset(40));
    let held = log.retain(now, Offset(101)).await.unwrap();
    assert!(held > Offset(30) && held <= Offset(40), "{held}");
    drop(hold);
    let left = log.retain(now, Offset(101)).await.unwrap();
    let bytes: u64 = log.segments().iter().map(|segment| segment.bytes).sum();
    assert!(left > held && bytes <= 2000 && bytes > 1000, "{left} {bytes}");
    let late = log.retain(now + Duration::from_secs(120), Offset(101)).await.unwrap();
    assert_eq!((late, log.segments().len()), (log.segments()[0].first, 1));
    drop(log);
    assert_eq!(open(home.path()).positions().start, late);
}
