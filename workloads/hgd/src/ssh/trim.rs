//! A standby trims its logs where the master has trimmed its own, and keeps the registry that a reign of its own would
//! start from.

use std::time::Duration;

use follower::lanes::Checkpoint;
use log::{Event, Level, Log, SubscribeError, Subscription};
use protocol::stream::Progress;
use protocol::{Generation, Offset, PerLog, Registry};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Base;
use super::settled::Settled;

const EVERY: Duration = Duration::from_secs(10);

/// Beginning of a standby whose log is below the master's start: `GET /v1/settled`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Beginning {
    /// Every record before the replication log's start, folded.
    pub registry: Registry,
    pub publication_start: Offset,
    /// Generations of the records before the two starts; 0 where it is not known.
    pub before: PerLog<Generation>,
}

impl Beginning {
    /// Where the lanes start, which fetch what is missing from peers.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            replication: self.registry.through(),
            publication: self.publication_start.previous(),
            registry: self.registry.clone(),
            ..Checkpoint::default()
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    #[error("the registry at the log's start cannot be read or stored: {0}")]
    Store(#[from] std::io::Error),
    #[error("the log cannot be read: {0}")]
    Read(#[from] SubscribeError),
    #[error("a record cannot be read: {0}")]
    Record(#[from] protocol::DecodeError),
    #[error("the log cannot be trimmed: {0}")]
    Trim(#[from] log::LogError),
}

/// Ends only with an error.
pub async fn run(base: &Base, starts: watch::Receiver<PerLog<Offset>>) -> TrimError {
    let trimmed = trim(base, starts).await;
    match trimmed {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn trim(base: &Base, starts: watch::Receiver<PerLog<Offset>>) -> Result<std::convert::Infallible, TrimError> {
    let mut settled = Settled::load(&base.role.data_directory)?;
    let mut entries = base.logs.replication.subscribe(settled.registry().through().next(), Level::Committed);
    let progress = base.local.progress();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            noted = note(&mut entries, &mut settled) => noted?,
            _ = ticks.tick() => {
                let keep = *starts.borrow();
                advance(&base.logs, &mut settled, keep, &progress).await?;
            }
        }
    }
}

async fn note(entries: &mut Subscription, settled: &mut Settled) -> Result<(), TrimError> {
    if let Event::Entry(entry) = entries.next().await? {
        settled.note(entry.offset, &entry.record()?);
    }
    Ok(())
}

async fn advance(
    logs: &PerLog<Log>,
    settled: &mut Settled,
    starts: PerLog<Offset>,
    progress: &watch::Receiver<Option<Progress>>,
) -> Result<(), TrimError> {
    let own = progress.borrow().as_ref().map_or(Offset::ZERO, |progress| progress.replication_checkpoint);
    let through = settled.advance(starts.replication.previous().min(own))?;
    // A reign of this instance may have settled more than the master has trimmed.
    logs.replication.trim(through.next().min(starts.replication)).await?;
    logs.publication.trim(starts.publication).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use log::{Options, Retention};
    use protocol::record::GenerationStarted;
    use protocol::{Record, Timestamp};

    use super::*;

    #[tokio::test]
    async fn what_the_master_keeps_is_kept_however_much_an_own_reign_has_settled() {
        let data = tempfile::tempdir().unwrap();
        let logs = PerLog::of(|name| {
            let retention = Retention { age: Duration::from_secs(3600), bytes: 1 << 30 };
            let (directory, segment_bytes) = (data.path().join(name.directory()), log::DEFAULT_SEGMENT_BYTES);
            Log::open(Options { directory, name, segment_bytes, retention }).unwrap()
        });
        let mut settled = Settled::load(data.path()).unwrap();
        let started = GenerationStarted { master: "ssh-0".parse().unwrap(), time: Timestamp(0) };
        let record = Record::GenerationStarted(started);
        // A segment each.
        for generation in [1, 2, 3].map(Generation) {
            logs.replication.lead(generation, BTreeSet::new()).await.unwrap();
            let offset = logs.replication.append(generation, &record).await.unwrap();
            settled.note(offset, &record);
        }
        logs.replication.watch().wait_for(|view| view.committed == Offset(3)).await.unwrap();
        assert_eq!(settled.advance(Offset(2)).unwrap(), Offset(2));
        let (_, progress) = watch::channel(None);
        for (master, start) in [(Offset(1), Offset(1)), (Offset(2), Offset(2))] {
            advance(&logs, &mut settled, PerLog::new(master, Offset(1)), &progress).await.unwrap();
            assert_eq!(logs.replication.positions().start, start);
        }
    }
}
