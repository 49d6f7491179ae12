//! How long a record takes to be durable, and how many a second are with 64 appenders:
//! `cargo run --release -p log --example append_latency DIRECTORY`.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::{DEFAULT_SEGMENT_BYTES, Log, Options, Retention};
use protocol::record::CloneBundlesChanged;
use protocol::{CreationId, Generation, LogName, Record};

const GENERATION: Generation = Generation(1);
const ALONE: usize = 2000;
const APPENDERS: usize = 64;
const EACH: usize = 500;

async fn durable(log: &Log, record: &Record) -> Result<Duration, Box<dyn std::error::Error + Send + Sync>> {
    let begun = Instant::now();
    let offset = log.append(GENERATION, record).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    log.wait_committed(GENERATION, offset, deadline).await?;
    Ok(begun.elapsed())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let directory = std::env::args_os().nth(1).ok_or("name a new directory for the log")?.into();
    let retention = Retention { age: Duration::from_secs(60), bytes: u64::MAX };
    let log =
        Log::open(Options { directory, name: LogName::Replication, segment_bytes: DEFAULT_SEGMENT_BYTES, retention })?;
    log.lead(GENERATION, BTreeSet::new()).await?;
    for bytes in [200, 4_000, 60_000] {
        let body = CloneBundlesChanged { repository: CreationId(1), manifest: "x".repeat(bytes) };
        let record = Record::CloneBundlesChanged(body);
        let mut times = Vec::new();
        for _ in 0..ALONE {
            times.push(durable(&log, &record).await?);
        }
        times.sort_unstable();
        let syncs = log.statistics().syncs.load(Ordering::Relaxed);
        let begun = Instant::now();
        let appenders = (0..APPENDERS).map(|_| {
            let (log, record) = (log.clone(), record.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    durable(&log, &record).await?;
                }
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            })
        });
        for appender in appenders.collect::<Vec<_>>() {
            appender.await??;
        }
        let rate = (APPENDERS * EACH) as f64 / begun.elapsed().as_secs_f64();
        let syncs = log.statistics().syncs.load(Ordering::Relaxed) - syncs;
        let (median, late) = (times[ALONE / 2].as_micros(), times[ALONE * 99 / 100].as_micros());
        println!(
            "{bytes} bytes: alone {median} us (99 %: {late} us); {APPENDERS} at once: {rate:.0}/s in {syncs} syncs"
        );
    }
    Ok(())
}
