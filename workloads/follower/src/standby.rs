//! A standby's copy of the master's logs: stores what it is sent, blobs first, and acknowledges what is on disk.

use std::sync::Arc;

use log::blobs::Blobs;
use log::{Cut, Log};
use protocol::stream::{FollowerKind, FromFollower, FromMaster, Progress};
use protocol::{DiskId, Entry, Generation, InstanceName, LogName, Offset, Payload, PerLog, Record};
use register::{Seal, SealError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use transport::messages::MessageSender;
use transport::{Client, Target};

use crate::blobs::{BlobError, fetch};
use crate::stream::{Stream, StreamError, Turn};

#[derive(Debug, thiserror::Error)]
pub enum StandbyError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the standby's log cannot be written: {0}")]
    Store(String),
    #[error("a blob cannot be fetched: {0}")]
    Blob(#[from] BlobError),
    #[error("the standby's log was cut where it forks from the master's; following again")]
    Truncated,
    #[error("the master's log starts at {start}, this standby needs {wanted}; it takes a snapshot")]
    OutOfRange { start: Offset, wanted: Offset },
    #[error("generation {0} has been followed by another, which this standby knows of")]
    Sealed(Generation),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// The last word of a master.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub generation: Generation,
    pub at: Instant,
}

pub struct Standby {
    pub name: InstanceName,
    pub disk: DiskId,
    /// Nothing is stored for a generation that this refuses.
    pub seal: Arc<Seal>,
    pub heard: watch::Sender<Option<Heard>>,
    /// Where the master's logs start.
    pub starts: watch::Sender<PerLog<Offset>>,
    pub client: Client,
    pub logs: PerLog<Log>,
    pub blobs: Blobs,
    /// Progress of this instance's own lanes, for the master's status and retention.
    pub progress: watch::Receiver<Option<Progress>>,
    /// Told whether the master sends, and this standby stores.
    pub following: watch::Sender<bool>,
    /// True: this standby is about to end in order.
    pub leaving: watch::Receiver<bool>,
}

impl Standby {
    /// Follows whichever of `masters` is the master until the task is dropped or the log's start is missed.
    pub async fn run(self: Arc<Self>, masters: Vec<Target>) -> StandbyError {
        let mut turn = Turn::new(masters);
        loop {
            let Some(target) = turn.target().cloned() else { return std::future::pending().await };
            match self.follow(&target, &mut turn).await {
                StandbyError::Stream(error @ StreamError::Refused { .. }) => tracing::debug!(%error, "not the master"),
                error @ (StandbyError::OutOfRange { .. } | StandbyError::Seal(_)) => return error,
                error => tracing::warn!(%error, master = %target, "the stream from the master ended; trying again"),
            }
            turn.failed().await;
        }
    }

    async fn follow(self: &Arc<Self>, target: &Target, turn: &mut Turn) -> StandbyError {
        let ended = self.exchange(target, turn).await;
        self.following.send_replace(false);
        match ended {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        target: &Target,
        turn: &mut Turn,
    ) -> Result<std::convert::Infallible, StandbyError> {
        let mut stream = Stream::open(&self.client, target, &self.hello()).await?;
        let FromMaster::Welcome { generation, replication_truncate, publication_truncate, .. } = stream.next().await?
        else {
            return Err(StreamError::NoWelcome.into());
        };
        // Who follows a generation refuses every older one from there on.
        if self.seal.raise(generation).await? > generation {
            return Err(StandbyError::Sealed(generation));
        }
        turn.succeeded();
        let mut truncated = false;
        for (name, cut) in PerLog::new(replication_truncate, publication_truncate) {
            if let Some(from) = cut {
                tracing::warn!(log = ?name, %from, "truncating entries that the master does not have");
                self.logs[name]
                    .truncate(from, Cut::Uncommitted)
                    .await
                    .map_err(|error| StandbyError::Store(error.to_string()))?;
                truncated = true;
            }
        }
        if truncated {
            // One cut may not reach the fork: the next Hello tells.
            return Err(StandbyError::Truncated);
        }
        self.following.send_replace(true);
        let written = Arc::new(PerLog::of(|_| Notify::new()));
        let mut tasks = JoinSet::new();
        for name in LogName::ALL {
            tasks.spawn(acknowledge(self.clone(), generation, name, written.clone(), stream.sender.clone()));
            written[name].notify_one();
        }
        tasks.spawn(report(self.progress.clone(), stream.sender.clone()));
        tasks.spawn(leave(self.leaving.clone(), stream.sender.clone()));
        loop {
            let message = tokio::select! {
                message = stream.next() => message?,
                () = self.seal.refuses(generation) => return Err(StandbyError::Sealed(generation)),
            };
            self.heard.send_replace(Some(Heard { generation, at: Instant::now() }));
            match message {
                FromMaster::Entry { log, entry } => {
                    self.store(target, log, entry).await?;
                    written[log].notify_one();
                }
                FromMaster::Committed { log, through } => self.logs[log].set_committed(through).await,
                FromMaster::OutOfRange { log, start, .. } => {
                    let wanted = self.logs[log].positions().end.next();
                    return Err(StandbyError::OutOfRange { start, wanted });
                }
                FromMaster::Heartbeat { replication_start, publication_start, .. } => {
                    self.starts.send_replace(PerLog::new(replication_start, publication_start));
                }
                FromMaster::Welcome { .. } => {}
            }
        }
    }

    fn hello(&self) -> FromFollower {
        let (replication_from, replication_generation) = self.logs.replication.wanted();
        let (publication_from, publication_generation) = self.logs.publication.wanted();
        FromFollower::Hello {
            name: self.name.clone(),
            kind: FollowerKind::Standby,
            replication_from,
            replication_generation,
            publication_from,
            publication_generation,
            url: None,
            peer: None,
            disk: Some(self.disk.clone()),
        }
    }

    async fn store(&self, target: &Target, log: LogName, entry: Entry) -> Result<(), StandbyError> {
        if let Ok(Record::Push(push)) = entry.record() {
            for payload in [&push.bundle, &push.markers].into_iter().flatten() {
                if let Payload::Blob { digest, size } = payload {
                    fetch(&self.client, target, &self.blobs, *digest, *size).await?;
                }
            }
        }
        let stored = self.logs[log].store(vec![entry]).await;
        stored.map(drop).map_err(|error| StandbyError::Store(error.to_string()))
    }
}

/// Syncs what was written and says how far; all that is written during one sync goes into the next.
async fn acknowledge(
    standby: Arc<Standby>,
    generation: Generation,
    name: LogName,
    written: Arc<PerLog<Notify>>,
    sender: MessageSender<FromFollower>,
) {
    loop {
        written[name].notified().await;
        match standby.logs[name].sync().await {
            // What is synced after the seal was answered must not be said to the old master any more.
            Ok(_) if standby.seal.generation() > generation => return,
            Ok(through) => {
                if sender.send(&FromFollower::Stored { log: name, through }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(log = ?name, %error, "the standby's log cannot be synced");
                return;
            }
        }
    }
}

async fn leave(mut leaving: watch::Receiver<bool>, sender: MessageSender<FromFollower>) {
    if leaving.wait_for(|leaving| *leaving).await.is_ok() {
        // Who does not hear it misses this standby.
        let _master_gone = sender.send(&FromFollower::Leaving).await;
    }
}

/// Says how far the lanes are, whenever that changes.
pub(crate) async fn report(mut progress: watch::Receiver<Option<Progress>>, sender: MessageSender<FromFollower>) {
    loop {
        let now = progress.borrow_and_update().clone();
        if let Some(now) = now
            && sender.send(&FromFollower::Progress(now)).await.is_err()
        {
            return;
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
