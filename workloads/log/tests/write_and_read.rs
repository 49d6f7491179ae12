//! Appending, waiting, following and restarting.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod rig;

use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{AppendError, Event, Level, Log, SubscribeError};
use protocol::{Generation, Offset};
use tokio::time::Instant;

use rig::{commit, entries, lead, members, number, open, options, read, record, soon};

#[tokio::test(flavor = "multi_thread")]
async fn many_appenders_share_syncs_and_every_subscriber_sees_one_order() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 20_000)).unwrap();
    lead(&log, 1).await;
    let mut followers = Vec::new();
    for level in [Level::Stored, Level::Committed] {
        let mut subscription = log.subscribe(Offset(1), level);
        followers.push(tokio::spawn(async move { entries(&mut subscription, 1600).await }));
    }
    let appenders = (0..64).map(|appender| {
        let log = log.clone();
        tokio::spawn(async move {
            for turn in 0..25 {
                commit(&log, 1, &record(appender * 1000 + turn, 100)).await;
            }
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        appender.await.unwrap();
    }
    let mut seen = Vec::new();
    for follower in followers {
        let got = follower.await.unwrap();
        assert!(got.iter().enumerate().all(|(at, entry)| entry.offset.0 == at as u64 + 1));
        seen.push(got);
    }
    assert_eq!(seen[0], seen[1]);
    for appender in 0..64 {
        let own = seen[0].iter().map(number).filter(|n| n / 1000 == appender);
        assert!(own.eq((0..25).map(|turn| appender * 1000 + turn)), "the order of appender {appender}");
    }
    let syncs = log.statistics().syncs.load(Ordering::Relaxed);
    assert!(syncs <= 1600 / 8, "{syncs} syncs for 1600 appends by 64 at once");
    assert!(rig::segment_files(home.path()).len() > 5, "segments end at their size");
}

#[tokio::test]
async fn a_restart_finds_everything_and_takes_a_new_generation() {
    let home = tempfile::tempdir().unwrap();
    for generation in 1..=3 {
        let log = open(home.path());
        assert_eq!(log.positions().end, Offset((generation - 1) * 10));
        assert_eq!(log.positions().durable, log.positions().end);
        assert!(log.lead(Generation(generation - 1), members(&[])).await.is_err(), "an old generation");
        lead(&log, generation).await;
        for turn in 0..10 {
            commit(&log, generation, &record(generation * 100 + turn, 10)).await;
        }
    }
    let log = open(home.path());
    assert_eq!(log.positions().generation, Generation(3));
    let expected: Vec<u64> = (1..=3).flat_map(|g| (0..10).map(move |turn| g * 100 + turn)).collect();
    assert_eq!(read(&log, 1, 30).await, expected);
    assert_eq!(read(&log, 17, 3).await, expected[16..19]);
    let names: Vec<_> =
        rig::segment_files(home.path()).iter().map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, [1, 11, 21].map(|first| format!("{first:020}.segment")), "one segment for each generation");
}

#[tokio::test]
async fn a_commit_waits_for_the_standby_or_is_unknown() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let one = Generation(1);
    log.lead(one, members(&["ssh-1"])).await.unwrap();
    let mut committed = log.subscribe(Offset(1), Level::Committed);
    let offset = log.append(one, &record(1, 10)).await.unwrap();
    let brief = Instant::now() + Duration::from_millis(100);
    assert!(log.wait_committed(one, offset, brief).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(10), committed.next()).await.is_err());
    log.acknowledge(one, "ssh-1".parse().unwrap(), offset).await;
    log.wait_committed(one, offset, soon()).await.unwrap();
    assert_eq!(entries(&mut committed, 1).await[0].offset, offset);
    let next = log.append(one, &record(2, 10)).await.unwrap();
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.wait_committed(one, next, soon()).await }
    });
    log.follow().await;
    assert!(waiting.await.unwrap().is_err(), "a deposed master does not know");
    assert_eq!(log.append(one, &record(3, 10)).await, Err(AppendError::NotLeading));
    // What another reign writes there is not what was appended.
    log.truncate(next, log::Cut::Uncommitted).await.unwrap();
    lead(&log, 2).await;
    assert_eq!(commit(&log, 2, &record(4, 10)).await, next);
    assert!(log.wait_committed(one, next, soon()).await.is_err());
    assert!(matches!(log.append(one, &record(5, 10)).await, Err(AppendError::Fenced { .. })));
}

#[tokio::test]
async fn subscriptions_say_when_they_cannot_go_on() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 1000)).unwrap();
    lead(&log, 1).await;
    for turn in 0..100 {
        commit(&log, 1, &record(turn, 100)).await;
    }
    let start = log.trim(Offset(50)).await.unwrap();
    assert!(start > Offset(30) && start <= Offset(50), "{start}");
    for (from, wrong) in [(0, true), (1, true), (start.0 - 1, true), (start.0, false), (101, false), (102, true)] {
        let mut subscription = log.subscribe(Offset(from), Level::Stored);
        let first = subscription.next().await;
        let expected = SubscribeError::OutOfRange { start, end: Offset(100) };
        assert_eq!(first == Err(expected), wrong, "from {from}: {first:?}");
    }
    let mut stored = log.subscribe(Offset(100), Level::Stored);
    let mut committed = log.subscribe(Offset(100), Level::Committed);
    entries(&mut stored, 1).await;
    entries(&mut committed, 1).await;
    log.set_in_sync(Generation(1), members(&["ssh-1"])).await.unwrap();
    log.append(Generation(1), &record(100, 10)).await.unwrap();
    entries(&mut stored, 1).await;
    log.follow().await;
    log.truncate(Offset(101), log::Cut::Uncommitted).await.unwrap();
    assert_eq!(stored.next().await, Err(SubscribeError::Truncated));
    lead(&log, 2).await;
    commit(&log, 2, &record(200, 10)).await;
    assert_eq!(number(&entries(&mut committed, 1).await[0]), 200);
    drop(log);
    assert_eq!(committed.next().await, Err(SubscribeError::Closed));
}

#[tokio::test]
async fn a_standby_sees_records_before_they_are_committed_and_commits_beside_them() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    log.lead(Generation(1), members(&["ssh-1"])).await.unwrap();
    let mut subscription = log.subscribe(Offset(1), Level::Stored);
    log.append_many(Generation(1), &[record(1, 10), record(2, 10)]).await.unwrap();
    assert_eq!(entries(&mut subscription, 2).await.len(), 2);
    log.acknowledge(Generation(1), "ssh-1".parse().unwrap(), Offset(1)).await;
    let event = tokio::time::timeout_at(soon(), subscription.next()).await.unwrap();
    assert_eq!(event, Ok(Event::Committed(Offset(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_costs_no_memory_and_misses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 8 << 20)).unwrap();
    lead(&log, 1).await;
    let mut slow = log.subscribe(Offset(1), Level::Committed);
    commit(&log, 1, &record(0, 100)).await;
    entries(&mut slow, 1).await;
    let before = resident_bytes();
    let records: Vec<_> = (0..100).map(|turn| record(turn, 100_000)).collect();
    for _ in 0..20 {
        log.append_many(Generation(1), &records).await.unwrap();
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "200 MiB were appended and memory grew by {grown}");
    for (expected, entry) in (2..).zip(entries(&mut slow, 2000).await) {
        assert_eq!(entry.offset, Offset(expected));
    }
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
