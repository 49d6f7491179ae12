//! Drives the lanes of this instance: feeds them what the logs say, carries out what they decide, and tells everyone
//! how far they are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::stream::Progress;
use protocol::{CreationId, LogName, Offset, Record, Registry};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use transport::CancellationToken;

use crate::checkpoint;
use crate::execute::{Done, Executor, Replayed};
use crate::lanes::{Checkpoint, Gap, Lanes, Origin};
use crate::table::LaneTable;
use crate::unsynced::Unsynced;

/// How often what is applied becomes durable.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// Entries taken before actions are asked for again.
const BATCH: usize = 256;

pub enum Input {
    Entry(LogName, Offset, Box<Record>),
    /// The master answered; its publication log is committed up to there.
    Welcome {
        publication_committed: Offset,
    },
    /// Somebody found this repository to be damaged.
    Resync(CreationId),
}

#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Gap(#[from] Gap),
}

/// Outputs that the driver tells.
pub struct Outputs {
    pub table: Arc<LaneTable>,
    /// None until every repository was looked at once.
    pub progress: watch::Sender<Option<Progress>>,
    pub ready: watch::Sender<bool>,
    /// Everything up to here was taken from the replication log.
    pub received: watch::Sender<Offset>,
    /// Changes when repositories come, go or are set up anew.
    pub registry: watch::Sender<Arc<Registry>>,
}

pub struct Driver {
    pub lanes: Lanes,
    pub executor: Arc<Executor>,
    pub outputs: Outputs,
    pub data: PathBuf,
    running: JoinSet<Done>,
    checkpointing: JoinSet<Option<(Offset, Offset)>>,
    checkpointed: (Offset, Offset),
    registry_changed: bool,
    started: Instant,
}

impl Driver {
    pub fn new(
        lanes: Lanes,
        executor: Arc<Executor>,
        outputs: Outputs,
        data: PathBuf,
        at: (Offset, Offset),
    ) -> Driver {
        Driver {
            lanes,
            executor,
            outputs,
            data,
            running: JoinSet::new(),
            checkpointing: JoinSet::new(),
            checkpointed: at,
            registry_changed: true,
            started: Instant::now(),
        }
    }

    /// Runs until `stop`, then lets running actions end and writes a last checkpoint.
    pub async fn run(
        mut self,
        mut replication: mpsc::Receiver<Input>,
        mut publication: mpsc::Receiver<Input>,
        stop: CancellationToken,
    ) -> Result<(), DriverError> {
        let mut checkpoints = interval(CHECKPOINT_INTERVAL);
        loop {
            self.act();
            self.tell();
            let wake = self.lanes.next_wake().map(|at| self.started + at);
            tokio::select! {
                () = stop.cancelled() => break,
                input = replication.recv(), if self.lanes.room() => {
                    let Some(input) = input else { break };
                    self.take(input)?;
                    for _ in 0..BATCH {
                        let Ok(input) = replication.try_recv() else { break };
                        self.take(input)?;
                        if !self.lanes.room() { break }
                    }
                }
                input = publication.recv(), if !publication.is_closed() || !publication.is_empty() => {
                    let Some(input) = input else { continue };
                    self.take(input)?;
                    while let Ok(input) = publication.try_recv() {
                        self.take(input)?;
                    }
                }
                Some(done) = self.running.join_next() => self.finished(done),
                Some(done) = self.checkpointing.join_next() => {
                    if let Ok(Some(at)) = done { self.checkpointed = at }
                }
                _ = checkpoints.tick() => self.checkpoint(),
                () = until(wake), if wake.is_some() => {}
            }
        }
        while let Some(done) = self.running.join_next().await {
            self.finished(done);
        }
        while self.checkpointing.join_next().await.is_some() {}
        self.checkpoint();
        while self.checkpointing.join_next().await.is_some() {}
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn take(&mut self, input: Input) -> Result<(), Gap> {
        match input {
            Input::Entry(LogName::Replication, offset, record) => {
                if let Some(error) = self.lanes.committed(offset, &record)? {
                    tracing::error!(%error, "a record is ignored");
                }
                if !matches!(*record, Record::Push(_) | Record::Strip(_)) {
                    self.registry_changed = true;
                }
            }
            Input::Entry(LogName::Publication, offset, record) => self.lanes.publication(offset, &record)?,
            Input::Welcome { publication_committed } => self.lanes.welcome(publication_committed),
            Input::Resync(id) => self.lanes.resync(id),
        }
        Ok(())
    }

    fn act(&mut self) {
        let now = self.now();
        for action in self.lanes.actions(now) {
            let repository = self.lanes.registry().get(action.repository).cloned();
            self.running.spawn(self.executor.clone().run(action, repository));
        }
    }

    fn finished(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "an action of a lane ended abnormally; its lane waits for a restart");
                return;
            }
        };
        let id = done.action.repository;
        let (ticket, now) = (done.action.ticket, self.now());
        match done.replayed {
            Some(Replayed { records, through }) => self.lanes.replayed(ticket, &records, through, now),
            None => self.lanes.finished(ticket, done.outcome, now),
        }
        if let Some(now) = done.state.and_then(|state| state.visible) {
            self.outputs.table.update(id, |view| {
                (view.tip, view.heads, view.changesets) = (now.tip, now.heads, now.changesets);
            });
        }
    }

    /// Copies what the lanes say of one repository into the table.
    fn tell_lane(&self, id: CreationId) {
        match self.lanes.lane(id) {
            Some(lane) => self.outputs.table.update(id, |view| {
                if lane.quarantined != view.quarantined {
                    self.tell_of_quarantine(id, lane.quarantined);
                }
                (view.applied, view.shown) = (lane.applied, lane.shown);
                (view.routable, view.quarantined, view.opened) = (lane.routable, lane.quarantined, lane.opened);
            }),
            None => self.outputs.table.remove(id),
        }
    }

    fn tell_of_quarantine(&self, id: CreationId, begins: bool) {
        let path = self.lanes.registry().get(id).map(|repository| repository.path.to_string());
        match begins {
            true => tracing::error!(
                repository = %id, path, "set aside: it is not what the log says, and is fetched from another instance"
            ),
            false => tracing::warn!(repository = %id, path, "not set aside any more"),
        }
    }

    fn tell(&mut self) {
        self.lanes.touched().for_each(|id| self.tell_lane(id));
        if std::mem::take(&mut self.registry_changed) {
            self.outputs.registry.send_replace(Arc::new(self.lanes.registry().clone()));
        }
        let ready = self.lanes.ready();
        self.outputs.ready.send_if_modified(|before| std::mem::replace(before, ready) != ready);
        let received = self.lanes.received();
        self.outputs.received.send_if_modified(|before| std::mem::replace(before, received) != received);
        let (replication, publication) = self.checkpointed;
        let progress = self.lanes.progress().map(|progress| Progress {
            replication_checkpoint: replication,
            publication_checkpoint: publication,
            ..progress
        });
        self.outputs.progress.send_if_modified(|before| {
            let changed = *before != progress;
            *before = progress;
            changed
        });
    }

    fn checkpoint(&mut self) {
        if !self.checkpointing.is_empty() {
            return;
        }
        let Some(checkpoint) = self.lanes.checkpoint() else { return };
        let at = (checkpoint.replication, checkpoint.publication);
        let unsynced = self.executor.unsynced.clone();
        if at == self.checkpointed && unsynced.is_settled() {
            return;
        }
        let data = self.data.clone();
        self.checkpointing.spawn_blocking(move || match write(&data, checkpoint, &unsynced) {
            Ok(()) => Some(at),
            Err(error) => {
                tracing::error!(%error, "no checkpoint can be written; the log is kept until one can");
                None
            }
        });
    }
}

fn write(data: &Path, checkpoint: Checkpoint, unsynced: &Unsynced) -> io::Result<()> {
    checkpoint::sync(data, &unsynced.begin_sync())?;
    checkpoint::store(data, checkpoint, Origin::Checkpoint)?;
    unsynced.synced()
}

async fn until(wake: Option<Instant>) {
    if let Some(wake) = wake {
        tokio::time::sleep_until(wake).await;
    }
}
