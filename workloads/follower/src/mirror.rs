//! A mirror's stream: hands what is committed to the lanes, and tells the master how far they are.

use protocol::stream::{FollowerKind, FromFollower, FromMaster, Progress, WINDOW_ENTRIES};
use protocol::{Entry, Generation, InstanceName, LogName, Offset, PerLog};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use transport::messages::MessageSender;
use transport::{Client, Target};

use crate::driver::Input;
use crate::local::Local;
use crate::standby::report;
use crate::stream::{Stream, StreamError, Turn, overtaken};

#[derive(Debug, thiserror::Error)]
pub enum MirrorFeedError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("record {offset} of the {log:?} log cannot be read: {source}")]
    Record { log: LogName, offset: Offset, source: protocol::DecodeError },
    #[error("the master's {log:?} log starts at {start}, this mirror needs {wanted}; it begins anew from its peers")]
    OutOfRange { log: LogName, start: Offset, wanted: Offset },
    #[error("the lanes have stopped")]
    Lanes,
}

pub struct MirrorFeed {
    name: InstanceName,
    client: Client,
    url: String,
    peer: String,
    /// The next entry wanted of each log.
    next: PerLog<Offset>,
    /// No older one is followed any more.
    newest: Generation,
    inputs: PerLog<mpsc::Sender<Input>>,
    progress: watch::Receiver<Option<Progress>>,
    received: watch::Receiver<Offset>,
    /// Master, for blobs and questions.
    master: watch::Sender<Option<Target>>,
}

impl MirrorFeed {
    /// `url`: where clients reach this mirror; `peer`: where its peers do.
    pub fn new(
        local: &Local,
        client: Client,
        url: String,
        peer: String,
        master: watch::Sender<Option<Target>>,
    ) -> MirrorFeed {
        let start = local.start_of_lanes();
        let inputs = local.inputs();
        let next = PerLog::new(start.replication.next(), start.publication.next());
        let (name, progress, received) = (local.name().clone(), local.progress(), local.received());
        MirrorFeed { name, client, url, peer, next, newest: Generation(0), inputs, progress, received, master }
    }

    /// Follows whichever of `masters` is the master; ends only when this mirror has to begin anew.
    pub async fn run(mut self, masters: Vec<Target>) -> MirrorFeedError {
        let mut turn = Turn::new(masters);
        loop {
            let Some(target) = turn.target().cloned() else { return std::future::pending().await };
            let Err(error) = self.exchange(&target, &mut turn).await;
            match error {
                MirrorFeedError::Stream(error @ StreamError::Refused { .. }) => {
                    tracing::debug!(%error, "not the master")
                }
                MirrorFeedError::Stream(error) => {
                    tracing::warn!(%error, master = %target, "the stream ended; trying again")
                }
                fatal => return fatal,
            }
            turn.failed().await;
        }
    }

    async fn exchange(
        &mut self,
        target: &Target,
        turn: &mut Turn,
    ) -> Result<std::convert::Infallible, MirrorFeedError> {
        let mut stream = Stream::open(&self.client, target, &self.hello()).await?;
        let FromMaster::Welcome { generation, publication_committed, .. } = stream.next().await? else {
            return Err(StreamError::NoWelcome.into());
        };
        if generation < self.newest {
            return Err(StreamError::Overtaken(generation).into());
        }
        self.newest = generation;
        turn.succeeded();
        self.master.send_replace(Some(target.clone()));
        self.inputs
            .publication
            .send(Input::Welcome { publication_committed })
            .await
            .map_err(|_| MirrorFeedError::Lanes)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(report(self.progress.clone(), stream.sender.clone()));
        tasks.spawn(grant(self.received.clone(), stream.sender.clone()));
        let overtaken = overtaken(self.client.clone(), turn.others(), generation);
        let mut overtaken = std::pin::pin!(overtaken);
        loop {
            let message = tokio::select! {
                message = stream.next() => message?,
                error = &mut overtaken => return Err(error.into()),
            };
            match message {
                FromMaster::Entry { log, entry } => self.hand_in(log, &entry).await?,
                FromMaster::OutOfRange { log, start, .. } => {
                    return Err(MirrorFeedError::OutOfRange { log, start, wanted: self.next[log] });
                }
                FromMaster::Committed { .. } | FromMaster::Heartbeat { .. } | FromMaster::Welcome { .. } => {}
            }
        }
    }

    async fn hand_in(&mut self, log: LogName, entry: &Entry) -> Result<(), MirrorFeedError> {
        let record = entry.record();
        let record = record.map_err(|source| MirrorFeedError::Record { log, offset: entry.offset, source })?;
        let to = &self.inputs[log];
        to.send(Input::Entry(log, entry.offset, Box::new(record))).await.map_err(|_| MirrorFeedError::Lanes)?;
        self.next[log] = entry.offset.next();
        Ok(())
    }

    fn hello(&self) -> FromFollower {
        FromFollower::Hello {
            name: self.name.clone(),
            kind: FollowerKind::Mirror,
            replication_from: self.next.replication,
            replication_generation: Generation(0),
            publication_from: self.next.publication,
            publication_generation: Generation(0),
            url: Some(self.url.clone()),
            peer: Some(self.peer.clone()),
            disk: None,
        }
    }
}

/// Lets the master send a window beyond what the lanes have taken.
async fn grant(mut received: watch::Receiver<Offset>, sender: MessageSender<FromFollower>) {
    let mut granted = Offset::ZERO;
    loop {
        let through = Offset(received.borrow_and_update().0 + WINDOW_ENTRIES);
        if through.0 >= granted.0 + WINDOW_ENTRIES / 4 {
            granted = through;
            if sender.send(&FromFollower::Window { replication_through: through }).await.is_err() {
                return;
            }
        }
        if received.changed().await.is_err() {
            return;
        }
    }
}
