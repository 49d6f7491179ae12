//! Removes blobs that no record of the log names any more, after the log was trimmed.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use log::blobs::Blobs;
use log::{Event, Level, Log, SubscribeError};
use protocol::{Digest, Offset, Payload, Record};

/// A blob is stored before its record is: younger ones are left alone.
const YOUNG: Duration = Duration::from_secs(3600);

/// Runs until the log is closed.
pub async fn run(log: Log, blobs: Blobs) {
    let mut view = log.watch();
    let mut swept = log.positions().start;
    loop {
        if view.changed().await.is_err() {
            return;
        }
        let start = view.borrow_and_update().generations.start();
        if start <= swept {
            continue;
        }
        swept = start;
        match named(&log, start).await {
            Ok(live) => sweep(blobs.clone(), live).await,
            Err(error) => tracing::warn!(%error, "blobs are kept until the log can be read through"),
        }
    }
}

/// The digests that records from `start` on name.
async fn named(log: &Log, start: Offset) -> Result<HashSet<Digest>, SubscribeError> {
    let end = log.positions().end;
    let mut entries = log.subscribe(start, Level::Stored);
    let (mut live, mut through) = (HashSet::new(), start.previous());
    while through < end {
        let Event::Entry(entry) = entries.next().await? else { continue };
        through = entry.offset;
        if let Ok(Record::Push(push)) = entry.record() {
            for payload in [push.bundle, push.markers].into_iter().flatten() {
                if let Payload::Blob { digest, .. } = payload {
                    live.insert(digest);
                }
            }
        }
    }
    Ok(live)
}

async fn sweep(blobs: Blobs, live: HashSet<Digest>) {
    let old = SystemTime::now() - YOUNG;
    match tokio::task::spawn_blocking(move || blobs.sweep(&live, old)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(removed)) => tracing::info!(removed, "blobs that the log does not name any more were removed"),
        Ok(Err(error)) => tracing::warn!(%error, "old blobs cannot be removed"),
        Err(error) => tracing::warn!(%error, "old blobs were not removed"),
    }
}
