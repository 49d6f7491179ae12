//! Rig that the tests of the log are made of.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{DEFAULT_SEGMENT_BYTES, Event, Level, Log, OpenError, Options, Retention, Subscription};
use protocol::{CreationId, DiskId, Generation, LogName, Offset, Record};
use tokio::time::Instant;

pub const RETENTION: Retention = Retention { age: Duration::from_secs(3600), bytes: 1 << 30 };

pub fn options(directory: &Path, segment_bytes: u64) -> Options {
    let directory = directory.to_owned();
    Options { directory, name: LogName::Replication, segment_bytes, retention: RETENTION }
}

pub fn try_open(directory: &Path) -> Result<Log, OpenError> {
    Log::open(options(directory, DEFAULT_SEGMENT_BYTES))
}

pub fn open(directory: &Path) -> Log {
    try_open(directory).unwrap()
}

/// A record that names `number` and is about `bytes` long.
pub fn record(number: u64, bytes: usize) -> Record {
    let manifest = format!("{number} {}", "x".repeat(bytes));
    Record::CloneBundlesChanged(protocol::record::CloneBundlesChanged { repository: CreationId(1), manifest })
}

pub fn number(entry: &protocol::Entry) -> u64 {
    match entry.record().unwrap() {
        Record::CloneBundlesChanged(r) => r.manifest.split(' ').next().unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

pub fn members(names: &[&str]) -> BTreeSet<DiskId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub async fn lead(log: &Log, generation: u64) {
    log.lead(Generation(generation), BTreeSet::new()).await.unwrap();
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Appends and waits until it is committed.
pub async fn commit(log: &Log, generation: u64, record: &Record) -> Offset {
    let offset = log.append(Generation(generation), record).await.unwrap();
    log.wait_committed(Generation(generation), offset, soon()).await.unwrap();
    offset
}

/// The numbers of `count` records from `from` on.
pub async fn read(log: &Log, from: u64, count: usize) -> Vec<u64> {
    let mut subscription = log.subscribe(Offset(from), Level::Stored);
    entries(&mut subscription, count).await.iter().map(number).collect()
}

pub async fn entries(subscription: &mut Subscription, count: usize) -> Vec<protocol::Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let event = tokio::time::timeout_at(soon(), subscription.next()).await.expect("an entry in time").unwrap();
        if let Event::Entry(entry) = event {
            entries.push(entry);
        }
    }
    entries
}

pub fn segment_files(directory: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.extension().is_some_and(|end| end == "segment")).collect();
    files.sort();
    files
}
