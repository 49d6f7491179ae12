//! Crashes: what they may do to the files, and what they cannot have done.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod rig;

use std::os::unix::fs::FileExt;
use std::path::Path;

use log::scan::Scanner;
use log::{Log, OpenError};
use protocol::Offset;

use rig::{commit, lead, open, options, read, record, segment_files, try_open};

/// Frames of a segment file as (position, length).
fn frames(file: &Path) -> Vec<(u64, u64)> {
    let bytes = std::fs::read(file).unwrap();
    let starts: Vec<u64> = Scanner::begin(&bytes[..])
        .unwrap()
        .1
        .map(|frame| frame.unwrap().position)
        .chain([bytes.len() as u64])
        .collect();
    starts.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).collect()
}

async fn log_of(directory: &Path, records: u64) {
    let log = open(directory);
    lead(&log, 1).await;
    for turn in 0..records {
        commit(&log, 1, &record(turn, 20)).await;
    }
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_and_the_rest_is_kept() {
    let home = tempfile::tempdir().unwrap();
    log_of(home.path(), 5).await;
    let file = segment_files(home.path()).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let (position, length) = *frames(&file).last().unwrap();
    for cut in position..position + length {
        for fill in ["", "zeros", "noise"] {
            let mut torn = whole.clone();
            match fill {
                "" => torn.truncate(cut as usize),
                "zeros" => torn[cut as usize..].fill(0),
                _ => torn[cut as usize..].iter_mut().for_each(|byte| *byte ^= 0xa5),
            }
            std::fs::write(&file, &torn).unwrap();
            let log = open(home.path());
            assert_eq!(log.positions().end, Offset(4), "cut at {cut}, then {fill:?}");
            if cut % 16 == 0 {
                lead(&log, 2).await;
                assert_eq!(commit(&log, 2, &record(99, 10)).await, Offset(5));
                assert_eq!(read(&log, 1, 5).await, [0, 1, 2, 3, 99]);
                drop(log);
                segment_files(home.path()).iter().skip(1).for_each(|later| std::fs::remove_file(later).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_is_an_error_that_says_where() {
    let home = tempfile::tempdir().unwrap();
    log_of(home.path(), 5).await;
    let file = segment_files(home.path()).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let frames = frames(&file);
    for (at, byte) in whole.iter().enumerate().take(frames[4].0 as usize) {
        let mut damaged = whole.clone();
        damaged[at] = byte ^ 4;
        std::fs::write(&file, &damaged).unwrap();
        let start = frames.iter().rev().map(|frame| frame.0).find(|start| *start <= at as u64).unwrap_or(0);
        match try_open(home.path()) {
            Err(OpenError::Damaged { path, damage }) => {
                assert_eq!((path, damage.position), (file.clone(), start), "byte {at}");
            }
            Err(OpenError::NewerFormat { .. }) => assert!((8..10).contains(&at), "byte {at}"),
            other => panic!("byte {at}: {:?}", other.map(|log| log.positions())),
        }
        assert_eq!(std::fs::read(&file).unwrap(), damaged, "a damaged file is left as it is");
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(open(home.path()).positions().end, Offset(5));
}

#[tokio::test]
async fn only_the_last_segment_may_be_torn_and_none_may_be_missing() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 200)).unwrap();
    lead(&log, 1).await;
    for turn in 0..20 {
        commit(&log, 1, &record(turn, 50)).await;
    }
    drop(log);
    let files = segment_files(home.path());
    let middle = std::fs::read(&files[1]).unwrap();
    std::fs::write(&files[1], &middle[..middle.len() - 1]).unwrap();
    assert!(matches!(try_open(home.path()), Err(OpenError::Damaged { path, .. }) if path == files[1]));
    std::fs::remove_file(&files[1]).unwrap();
    let error = try_open(home.path()).map(|log| log.positions()).unwrap_err();
    assert!(matches!(&error, OpenError::Missing { path, .. } if *path == files[2]), "{error}");
    assert!(error.to_string().contains("restore it, or stop all instances"), "it says what to do: {error}");
}

#[tokio::test]
async fn records_of_one_unsynced_write_may_be_torn_in_the_middle() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    lead(&log, 1).await;
    commit(&log, 1, &record(0, 20)).await;
    let batch: Vec<_> = (1..=5).map(|turn| record(turn, 20)).collect();
    log.append_many(protocol::Generation(1), &batch).await.unwrap();
    drop(log);
    let file = segment_files(home.path()).remove(0);
    let frames = frames(&file);
    let damage = |frame: usize| {
        let file = std::fs::File::options().write(true).open(&file).unwrap();
        file.write_all_at(&[0xff; 40], frames[frame].0).unwrap();
    };
    damage(2);
    assert_eq!(
        open(home.path()).positions().end,
        Offset(2),
        "a batch whose first page was written and not its second"
    );
}

#[tokio::test]
async fn what_is_not_a_log_of_this_version_is_refused_clearly() {
    let home = tempfile::tempdir().unwrap();
    log_of(home.path(), 1).await;
    let log = open(home.path());
    assert!(matches!(try_open(home.path()), Err(OpenError::InUse { .. })));
    drop(log);
    let mut other = options(home.path(), 1000);
    other.name = protocol::LogName::Publication;
    assert!(matches!(Log::open(other), Err(OpenError::OtherLog { .. })));
    std::fs::write(home.path().join("version"), "2\n").unwrap();
    let error = try_open(home.path()).map(|log| log.positions()).unwrap_err();
    assert!(matches!(&error, OpenError::NewerFormat { found, known: 1, .. } if found == "2"), "{error}");
}

/// Where one volume is everybody's, an old master that was stopped in a write may go on after another has begun.
#[tokio::test]
async fn what_an_old_master_writes_behind_a_later_generation_is_cut() {
    let shared = |directory: &Path| Log::open_shared(options(directory, 1 << 20), Box::new(|| true));
    for garbage in [false, true] {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        log_of(home.path(), 3).await;
        log_of(other.path(), 5).await;
        let log = shared(home.path()).unwrap();
        lead(&log, 2).await;
        for turn in [10, 11] {
            commit(&log, 2, &record(turn, 20)).await;
        }
        drop(log);
        let (old, longer) = (segment_files(home.path()).remove(0), segment_files(other.path()).remove(0));
        let before = std::fs::read(&old).unwrap();
        let mut late = std::fs::read(&longer).unwrap();
        assert!(late.starts_with(&before), "the same records");
        if garbage {
            late.truncate(late.len() - 3);
        }
        std::fs::write(&old, late).unwrap();
        assert!(try_open(home.path()).is_err(), "nobody else can have written to a volume of one's own");
        let log = shared(home.path()).unwrap();
        assert_eq!(read(&log, 1, 5).await, [0, 1, 2, 10, 11]);
        assert_eq!(std::fs::read(&old).unwrap(), before);
        lead(&log, 3).await;
        assert_eq!(commit(&log, 3, &record(12, 20)).await, Offset(6));
    }
}
