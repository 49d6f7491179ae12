//! The one writer of the replication log while this instance is master: every record passes here, one at a time, and
//! is checked against everything appended before it, committed or not.

use std::sync::Arc;
use std::time::Duration;

use log::{AppendError, Event, Level, Log};
use protocol::record::{RepositoryCreated, RepositoryDeleted, RepositoryUpdated, SettingsChanged, Skip, Strip};
use protocol::status::Refusal;
use protocol::{
    ChangesetId, CreationId, Generation, MasterSettings, Offset, Push, PushId, Record, Registry, Repository,
    RepositoryFormat, RepositoryPath, RepositorySettings, Timestamp, UserName,
};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::Instant;

/// How long a record may wait for the in-sync standbys before the person reads that the outcome is unknown.
const COMMIT_WAIT: Duration = Duration::from_secs(60);
/// How long a push waits for a log that cannot be written before it is refused.
pub const WRITABLE_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("requested repo {0} does not exist")]
    NoSuchRepository(String),
    #[error("repository {0} exists already")]
    Exists(RepositoryPath),
    #[error("the repository is behind the replication log ({applied} of {last}); try again in a moment")]
    Behind { applied: Offset, last: Offset },
    #[error("read only: {reason}")]
    ReadOnly {
        /// Every repository is.
        all: bool,
        reason: String,
    },
    #[error("replication log not available; all writes disabled")]
    NotAvailable,
    #[error("the record cannot be appended: {0}")]
    Append(#[from] AppendError),
    #[error("the record {0} was appended but not acknowledged by the standby in time: it may be committed later")]
    OutcomeUnknown(Offset),
}

/// Whether pushes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    No(Refusal),
    /// There are standbys, and none of them is needed: the push would be on this disk only.
    Alone,
    Yes,
}

pub struct Ledger {
    log: Log,
    generation: Generation,
    /// The registry with every appended record folded in.
    appended: Arc<Mutex<Registry>>,
    /// Every in-sync standby is connected, and pushes are taken.
    writable: watch::Receiver<Writable>,
}

impl Ledger {
    /// `appended` has every record of the log folded in; `writable` says whether all in-sync standbys listen.
    pub fn new(log: Log, generation: Generation, appended: Registry, writable: watch::Receiver<Writable>) -> Ledger {
        Ledger { log, generation, appended: Arc::new(Mutex::new(appended)), writable }
    }

    /// Answers whether what is committed now is on this disk only, though there are standbys.
    pub fn is_alone(&self) -> bool {
        *self.writable.borrow() == Writable::Alone
    }

    /// Waits, bounded, until records can be committed.
    pub async fn writable(&self) -> Result<(), LedgerError> {
        let mut writable = self.writable.clone();
        let ready =
            tokio::time::timeout(WRITABLE_WAIT, writable.wait_for(|now| !matches!(now, Writable::No(_)))).await;
        match ready {
            Ok(Ok(_)) => Ok(()),
            _ => Err(LedgerError::NotAvailable),
        }
    }

    /// Whether anybody may push there now.
    pub async fn pushable(&self, id: CreationId) -> Result<(), LedgerError> {
        let registry = self.appended.lock().await;
        pushable(&registry, id)?;
        Ok(())
    }

    pub async fn repository(&self, id: CreationId) -> Result<Repository, LedgerError> {
        let registry = self.appended.lock().await;
        registry.get(id).cloned().ok_or_else(|| LedgerError::NoSuchRepository(id.to_string()))
    }

    /// With every appended record folded in.
    pub async fn registry(&self) -> Registry {
        self.appended.lock().await.clone()
    }

    pub async fn by_path(&self, path: &RepositoryPath) -> Option<Repository> {
        self.appended.lock().await.by_path(path).cloned()
    }

    /// Appends a push if no record has changed the repository's content after `applied`, which the child read under
    /// the repository's lock. What set the repository up since is left to its lane. `make` is told the pushlog id and
    /// time that the push gets. Not yet committed when this returns.
    pub async fn append_push(
        &self,
        repository: CreationId,
        applied: Offset,
        has_changesets: bool,
        make: impl FnOnce(Option<PushId>, Timestamp) -> Push,
    ) -> Result<(Offset, Push), LedgerError> {
        if matches!(*self.writable.borrow(), Writable::No(_)) {
            return Err(LedgerError::NotAvailable);
        }
        let registry = self.appended.clone().lock_owned().await;
        let known = pushable(&registry, repository)?;
        if !(known.content..=known.last).contains(&applied) {
            return Err(LedgerError::Behind { applied, last: known.last });
        }
        let push_id = has_changesets.then(|| PushId(known.last_push.0 + 1));
        let push = make(push_id, Timestamp::from_system(std::time::SystemTime::now()));
        let offset = self.append(registry, Record::Push(push.clone())).await?;
        Ok((offset, push))
    }

    /// Creates the repository or gives the existing one these settings; unchanged settings write nothing. Answers the
    /// repository's newest record.
    pub async fn put(&self, path: RepositoryPath, settings: RepositorySettings) -> Result<Offset, LedgerError> {
        self.writable().await?;
        let registry = self.appended.clone().lock_owned().await;
        let record = match registry.by_path(&path) {
            Some(known) if known.settings == settings => {
                let last = known.last;
                drop(registry);
                self.known_committed(last).await?;
                return Ok(last);
            }
            Some(known) => Record::RepositoryUpdated(RepositoryUpdated { repository: known.id, settings }),
            None => Record::RepositoryCreated(RepositoryCreated { path, format: RepositoryFormat::V1, settings }),
        };
        let offset = self.append(registry, record).await?;
        self.committed(offset).await?;
        Ok(offset)
    }

    /// Puts what holds for all repositories; unchanged settings write nothing. Answers a record that has them.
    pub async fn put_settings(&self, settings: MasterSettings) -> Result<Offset, LedgerError> {
        self.writable().await?;
        let registry = self.appended.clone().lock_owned().await;
        if *registry.settings() == settings {
            let through = registry.through();
            drop(registry);
            self.known_committed(through).await?;
            return Ok(through);
        }
        let offset = self.append(registry, Record::SettingsChanged(SettingsChanged { settings })).await?;
        self.committed(offset).await?;
        Ok(offset)
    }

    pub async fn delete(&self, path: &RepositoryPath) -> Result<Offset, LedgerError> {
        self.writable().await?;
        let registry = self.appended.clone().lock_owned().await;
        let repository = find(&registry, path)?;
        let record = Record::RepositoryDeleted(RepositoryDeleted { repository });
        let offset = self.append(registry, record).await?;
        self.committed(offset).await?;
        Ok(offset)
    }

    pub async fn strip(
        &self,
        path: &RepositoryPath,
        changesets: Vec<ChangesetId>,
        user: UserName,
    ) -> Result<Offset, LedgerError> {
        self.writable().await?;
        let registry = self.appended.clone().lock_owned().await;
        let record = Record::Strip(Strip { repository: find(&registry, path)?, changesets, user });
        let offset = self.append(registry, record).await?;
        self.committed(offset).await?;
        Ok(offset)
    }

    /// Gives an earlier record of the repository up.
    pub async fn skip(&self, repository: CreationId, offset: Offset, user: UserName) -> Result<Offset, LedgerError> {
        self.writable().await?;
        let registry = self.appended.clone().lock_owned().await;
        let offset = self.append(registry, Record::Skip(Skip { repository, offset, user })).await?;
        self.committed(offset).await?;
        Ok(offset)
    }

    /// A committed record that the log still has.
    pub async fn record(&self, offset: Offset) -> Option<Record> {
        let positions = self.log.positions();
        if !(positions.start..=positions.committed).contains(&offset) {
            return None;
        }
        let mut entries = self.log.subscribe(offset, Level::Committed);
        loop {
            if let Event::Entry(entry) = entries.next().await.ok()? {
                return entry.record().ok();
            }
        }
    }

    /// The newest appended record of this repository.
    pub async fn last(&self, repository: CreationId) -> Result<Offset, LedgerError> {
        Ok(self.repository(repository).await?.last)
    }

    pub async fn committed(&self, offset: Offset) -> Result<(), LedgerError> {
        let deadline = Instant::now() + COMMIT_WAIT;
        self.log
            .wait_committed(self.generation, offset, deadline)
            .await
            .map_err(|_| LedgerError::OutcomeUnknown(offset))
    }

    /// As [`Ledger::committed`], for a record that an earlier generation may have appended: every record that is in
    /// the log when a generation begins is committed with its first one.
    async fn known_committed(&self, offset: Offset) -> Result<(), LedgerError> {
        let mut view = self.log.watch();
        let wait = tokio::time::timeout(COMMIT_WAIT, view.wait_for(|view| view.committed >= offset)).await;
        wait.is_ok_and(|level| level.is_ok()).then_some(()).ok_or(LedgerError::OutcomeUnknown(offset))
    }

    /// Until everything that is in the log is committed. False: not by then.
    pub async fn settled(&self, deadline: Instant) -> bool {
        // Nothing is being appended.
        let end = {
            let _registry = self.appended.lock().await;
            self.log.positions().end
        };
        let mut view = self.log.watch();
        let level = view.wait_for(|view| view.committed >= end);
        tokio::time::timeout_at(deadline, level).await.is_ok_and(|level| level.is_ok())
    }

    /// In a task of its own: whoever asked may be gone before the log has answered, and what is in the log must be
    /// known here before the next record is checked.
    async fn append(&self, mut registry: OwnedMutexGuard<Registry>, record: Record) -> Result<Offset, LedgerError> {
        let (log, generation) = (self.log.clone(), self.generation);
        let appended = tokio::spawn(async move {
            let offset = log.append(generation, &record).await?;
            if let Err(error) = registry.apply(offset, &record) {
                tracing::error!(%offset, %error, "a record that the registry does not accept was appended");
            }
            Ok(offset)
        });
        appended.await.unwrap_or_else(|ended| Err(AppendError::Unknown(ended.to_string().into()).into()))
    }
}

/// A repository's own reason comes before the one for all, as in the reference.
fn pushable(registry: &Registry, id: CreationId) -> Result<&Repository, LedgerError> {
    let known = registry.get(id).ok_or_else(|| LedgerError::NoSuchRepository(id.to_string()))?;
    let (own, all) = (&known.settings.read_only_reason, &registry.settings().read_only_reason);
    match own.as_ref().or(all.as_ref()) {
        Some(reason) => Err(LedgerError::ReadOnly { all: own.is_none(), reason: reason.clone() }),
        None => Ok(known),
    }
}

fn find(registry: &Registry, path: &RepositoryPath) -> Result<CreationId, LedgerError> {
    let known = registry.by_path(path).ok_or_else(|| LedgerError::NoSuchRepository(path.to_string()))?;
    Ok(known.id)
}

#[cfg(test)]
mod tests;
