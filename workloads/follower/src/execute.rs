//! Carries out one action of the lanes: asks a lane worker, fetches what it needs, and says what came of it.

use std::path::PathBuf;
use std::sync::Arc;

use log::blobs::Blobs;
use mercurial::{LaneError, LaneErrorKind, LanePool, LaneState, Operation, PushRequest, Request};
use protocol::{CreationId, Offset, Payload, Push, Repository};
use tokio::sync::watch;
use transport::{Client, Target};

use crate::closing::{Close, Closing};
use crate::lanes::{Action, ActionKind, LaneFacts, Outcome, RetryKind};
use crate::{blobs, resync};

/// What actions need; shared by all of them.
pub struct Executor {
    pub pool: LanePool,
    pub client: Client,
    pub blobs: Blobs,
    /// Mirrors keep no blobs: they are removed once applied.
    pub keeps_blobs: bool,
    pub repositories: PathBuf,
    pub scratch: PathBuf,
    /// Who may have blobs and repositories, the likeliest first.
    pub sources: watch::Receiver<Vec<Target>>,
    pub closing: Closing,
}

/// What an action did, with the worker's full answer where there was one.
pub struct Done {
    pub action: Action,
    pub outcome: Outcome,
    pub state: Option<LaneState>,
}

impl Executor {
    /// `repository`: what the registry says of it now.
    pub async fn run(self: Arc<Self>, action: Action, repository: Option<Repository>) -> Done {
        let id = action.repository;
        match self.attempt(&action, repository).await {
            Ok(state) => {
                let facts = LaneFacts { applied: state.applied, shown: state.shown };
                Done { action, outcome: Outcome::Done(facts), state: Some(state) }
            }
            Err(failure) => {
                let outcome = failure.outcome();
                failure.tell(id, &action.kind, outcome);
                Done { action, outcome, state: None }
            }
        }
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
            ActionKind::Resync { .. } => return self.resync(id, repository).await,
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

    async fn resync(&self, id: CreationId, repository: Option<Repository>) -> Result<LaneState, Failure> {
        let sources = self.sources.borrow().clone();
        resync::fetch(&self.client, &sources, &self.repositories, &self.scratch, id).await?;
        let state = self.call(id, Operation::Recover { break_locks: true }).await?;
        let Some(repository) = repository else { return Ok(state) };
        // The copy comes without the hgrc, which is generated on each instance.
        let Repository { settings, path, .. } = repository;
        self.call(id, Operation::Configure { offset: state.applied, settings, path, hidden: true }).await
    }
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
            Failure::Blob(_) | Failure::Resync(_) | Failure::NoSource | Failure::Io(_) => {
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
    }
}
