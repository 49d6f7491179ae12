//! Carries out one action of the lanes: asks a lane worker, fetches what it needs, and says what came of it.

use std::path::PathBuf;
use std::sync::Arc;

use log::blobs::Blobs;
use log::{Event, Level, Log};
use mercurial::{LaneError, LaneErrorKind, LanePool, LaneState, Operation, PushRequest, Request};
use protocol::{CreationId, Offset, Payload, Push, Record, Repository};
use tokio::sync::watch;
use transport::{Client, Target};

use crate::closing::{Close, Closing};
use crate::lanes::{Action, ActionKind, LaneFacts, Outcome, RetryKind};
use crate::unsynced::{Changing, Unsynced};
use crate::{blobs, resync};

/// Executor: what actions need; shared by all of them.
pub struct Executor {
    pub pool: LanePool,
    pub client: Client,
    pub blobs: Blobs,
    /// Mirrors keep no blobs: they are removed once applied.
    pub keeps_blobs: bool,
    pub repositories: PathBuf,
    pub scratch: PathBuf,
    /// Sources that may have blobs and repositories, the likeliest first.
    pub sources: watch::Receiver<Vec<Target>>,
    pub closing: Closing,
    /// SSH instances: what their lanes follow.
    pub own_log: Option<Log>,
    pub unsynced: Unsynced,
}

/// Done by an action, with the worker's full answer where there was one.
pub struct Done {
    pub action: Action,
    pub outcome: Outcome,
    pub state: Option<LaneState>,
    pub replayed: Option<Replayed>,
}

/// A repository's records from the own log, all of them up to and including `through`.
pub struct Replayed {
    pub records: Vec<(Offset, Record)>,
    pub through: Offset,
}

/// One replay reads at most this much; the lane asks again for the rest.
const REPLAY_RECORDS: usize = 500;
const REPLAY_BYTES: usize = 8 * 1024 * 1024;

impl Executor {
    /// `repository`: what the registry says of it now.
    pub async fn run(self: Arc<Self>, action: Action, repository: Option<Repository>) -> Done {
        let id = action.repository;
        let _changing = match self.changing(&action).await {
            Ok(changing) => changing,
            Err(error) => return failed(action, &Failure::Io(error)),
        };
        if let ActionKind::Replay { after, fresh } = action.kind {
            return match self.replay(id, after, fresh).await {
                Ok(replayed) => {
                    let outcome = Outcome::Done(LaneFacts::default());
                    Done { action, outcome, state: None, replayed: Some(replayed) }
                }
                Err(failure) => failed(action, &failure),
            };
        }
        match self.attempt(&action, repository).await {
            Ok(state) => {
                let facts = LaneFacts { applied: state.applied, shown: state.shown };
                Done { action, outcome: Outcome::Done(facts), state: Some(state), replayed: None }
            }
            Err(failure) => failed(action, &failure),
        }
    }

    /// A first touch changes only what an earlier life was changing: the rest need not be in doubt for it.
    async fn changing(&self, action: &Action) -> std::io::Result<Option<Changing>> {
        let changes = !matches!(action.kind, ActionKind::Open) || self.unsynced.is_marked(action.repository);
        if changes { self.unsynced.changing(action.repository).await.map(Some) } else { Ok(None) }
    }

    /// Reads the own log again, from the record after `after`.
    async fn replay(&self, id: CreationId, after: Offset, fresh: bool) -> Result<Replayed, Failure> {
        let log = self.own_log.as_ref().ok_or(Failure::LogGone)?;
        let positions = log.positions();
        if positions.start > after.next() {
            return Err(Failure::LogGone);
        }
        if fresh {
            self.remove(id, after).await?;
        }
        let mut entries = log.subscribe(after.next(), Level::Committed);
        let (mut records, mut through, mut bytes) = (Vec::new(), after, 0);
        while through < positions.committed && records.len() < REPLAY_RECORDS && bytes < REPLAY_BYTES {
            let event = entries.next().await.map_err(|error| Failure::Log(error.to_string()))?;
            let Event::Entry(entry) = event else { continue };
            let record = entry.record().map_err(|error| Failure::Log(error.to_string()))?;
            through = entry.offset;
            if record.repository(entry.offset) == Some(id) {
                bytes += entry.bytes.len();
                records.push((entry.offset, record));
            }
        }
        Ok(Replayed { records, through })
    }

    async fn attempt(&self, action: &Action, repository: Option<Repository>) -> Result<LaneState, Failure> {
        let id = action.repository;
        let operation = match &action.kind {
            ActionKind::Open => Operation::Recover { break_locks: true },
            ActionKind::Recover { break_locks } => Operation::Recover { break_locks: *break_locks },
            ActionKind::Init { offset, path, format: _, settings, hidden } => Operation::Init {
                offset: *offset,
                settings: settings.as_ref().clone(),
                path: path.clone(),
                hidden: *hidden,
            },
            ActionKind::Configure { offset, path, settings } => Operation::Configure {
                offset: *offset,
                settings: settings.as_ref().clone(),
                path: path.clone(),
                hidden: false,
            },
            ActionKind::Apply { offset, push, hidden } => return self.apply(id, *offset, push, *hidden).await,
            ActionKind::Show { offset, push } => {
                self.fetch(push.markers.as_ref()).await?;
                Operation::Show { offset: *offset, push: self.request(push) }
            }
            ActionKind::Reveal { offset } => Operation::Skip { offset: *offset, hidden: false },
            ActionKind::Hide { offset } => Operation::Skip { offset: *offset, hidden: true },
            ActionKind::Advertise { offset, manifest } => {
                self.advertise(id, manifest).await?;
                Operation::Skip { offset: *offset, hidden: false }
            }
            ActionKind::Strip { offset, changesets } => {
                Operation::Strip { offset: *offset, changesets: changesets.to_vec() }
            }
            ActionKind::Remove { offset } => return self.remove(id, *offset).await,
            ActionKind::Resync { alone, .. } => return self.resync(id, repository, *alone).await,
            ActionKind::Replay { .. } => return Err(Failure::LogGone),
        };
        self.call(id, operation).await
    }

    async fn call(&self, id: CreationId, operation: Operation) -> Result<LaneState, Failure> {
        let directory = self.repositories.join(id.directory());
        Ok(self.pool.call(Request { directory, operation }).await?)
    }

    fn request(&self, push: &Push) -> PushRequest {
        PushRequest::of(push, |digest| self.blobs.path(*digest))
    }

    async fn apply(&self, id: CreationId, offset: Offset, push: &Push, hidden: bool) -> Result<LaneState, Failure> {
        match self.closing.ended(id, offset).await {
            // The child of hg that pushed has done it all, in the transaction that the record comes from.
            Some(Close::Done) => return self.call(id, Operation::State).await,
            Some(Close::Lost | Close::Pending) => {
                self.call(id, Operation::Recover { break_locks: false }).await?;
            }
            None => {}
        }
        self.fetch(push.bundle.as_ref()).await?;
        self.fetch(push.markers.as_ref()).await?;
        let state = self.call(id, Operation::Apply { offset, push: self.request(push), hidden }).await?;
        if let (false, Some(Payload::Blob { digest, .. })) = (self.keeps_blobs, &push.bundle) {
            let _swept_later = tokio::fs::remove_file(self.blobs.path(*digest)).await;
        }
        Ok(state)
    }

    /// Makes sure that the bytes of a payload are here.
    async fn fetch(&self, payload: Option<&Payload>) -> Result<(), Failure> {
        let Some(Payload::Blob { digest, size }) = payload else { return Ok(()) };
        if self.blobs.contains(*digest, *size) {
            return Ok(());
        }
        let sources = self.sources.borrow().clone();
        let mut last = Failure::NoSource;
        for source in &sources {
            match blobs::fetch(&self.client, source, &self.blobs, *digest, *size).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Failure::Blob(error),
            }
        }
        Err(last)
    }

    async fn advertise(&self, id: CreationId, manifest: &str) -> Result<(), Failure> {
        let folder = self.repositories.join(id.directory()).join(".hg");
        let temporary = folder.join("clonebundles.manifest.new");
        tokio::fs::write(&temporary, manifest).await.map_err(Failure::Io)?;
        tokio::fs::rename(temporary, folder.join("clonebundles.manifest")).await.map_err(Failure::Io)
    }

    async fn remove(&self, id: CreationId, offset: Offset) -> Result<LaneState, Failure> {
        let folder = self.repositories.join(id.directory());
        let removed = tokio::task::spawn_blocking(move || resync::remove(&folder)).await;
        removed.map_err(|error| Failure::Io(std::io::Error::other(error)))?.map_err(Failure::Io)?;
        Ok(LaneState { applied: offset, shown: offset, ..LaneState::default() })
    }

    async fn resync(&self, id: CreationId, repository: Option<Repository>, alone: bool) -> Result<LaneState, Failure> {
        let sources = self.sources.borrow().clone();
        let fetched = resync::fetch(&self.client, &sources, &self.repositories, &self.scratch, id).await;
        if let Err(error) = fetched {
            // Where the log reaches back to the beginning it is the better source.
            let rebuilt = self.own_log.as_ref().is_none_or(|log| log.positions().start <= Offset(1));
            if !alone || rebuilt {
                return Err(error.into());
            }
            self.call(id, Operation::Reinstate).await?;
            tracing::warn!(repository = %id, "nobody has another copy: what a power loss has left is whole and taken");
        }
        let state = self.call(id, Operation::Recover { break_locks: true }).await?;
        let Some(repository) = repository else { return Ok(state) };
        // The copy comes without the hgrc, which is generated on each instance.
        let Repository { settings, path, .. } = repository;
        let configure = Operation::Configure { offset: state.applied, settings, path, hidden: true };
        Ok(LaneState { visible: state.visible, ..self.call(id, configure).await? })
    }
}

fn failed(action: Action, failure: &Failure) -> Done {
    let outcome = failure.outcome();
    failure.tell(action.repository, &action.kind, outcome);
    Done { action, outcome, state: None, replayed: None }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Lane(#[from] LaneError),
    #[error(transparent)]
    Blob(#[from] blobs::BlobError),
    #[error(transparent)]
    Resync(#[from] resync::ResyncError),
    #[error("nobody is known who could have the blob")]
    NoSource,
    #[error("this instance's log does not reach back that far")]
    LogGone,
    #[error("this instance's log cannot be read again: {0}")]
    Log(String),
    #[error("{0}")]
    Io(std::io::Error),
}

impl Failure {
    /// A repository that is not there yet is how every new one begins.
    fn tell(&self, repository: CreationId, kind: &ActionKind, outcome: Outcome) {
        let action = name(kind);
        match (kind, outcome) {
            (ActionKind::Open, Outcome::Missing) => tracing::debug!(%repository, action, "not there yet"),
            _ => tracing::warn!(%repository, action, ?outcome, error = %self, "an action failed"),
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Failure::Lane(error) => match error.kind {
                LaneErrorKind::Locked => Outcome::Retry(RetryKind::Locked),
                LaneErrorKind::Full => Outcome::Full,
                LaneErrorKind::Missing => Outcome::Missing,
                LaneErrorKind::Corrupt | LaneErrorKind::Invalid => Outcome::Corrupt,
                LaneErrorKind::Worker => Outcome::Retry(RetryKind::Failed),
            },
            Failure::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Outcome::Full,
            Failure::Resync(error) if error.is_full() => Outcome::Full,
            Failure::LogGone => Outcome::Missing,
            Failure::Blob(_) | Failure::Resync(_) | Failure::NoSource | Failure::Log(_) | Failure::Io(_) => {
                Outcome::Retry(RetryKind::Failed)
            }
        }
    }
}

fn name(kind: &ActionKind) -> &'static str {
    match kind {
        ActionKind::Open => "open",
        ActionKind::Init { .. } => "init",
        ActionKind::Configure { .. } => "configure",
        ActionKind::Apply { .. } => "apply",
        ActionKind::Show { .. } => "show",
        ActionKind::Reveal { .. } => "reveal",
        ActionKind::Advertise { .. } => "advertise",
        ActionKind::Hide { .. } => "hide",
        ActionKind::Strip { .. } => "strip",
        ActionKind::Remove { .. } => "remove",
        ActionKind::Recover { .. } => "recover",
        ActionKind::Resync { .. } => "resync",
        ActionKind::Replay { .. } => "replay",
    }
}
