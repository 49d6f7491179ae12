//! Brings the SSH front and warm Mercurial processes together: who may do what with which repository.

use std::sync::Arc;
use std::time::Duration;

use config::SshRole;
use follower::{LaneTable, Unsynced};
use futures::FutureExt;
use mercurial::{LanePool, Mercurial, Operation, Request, ServeRequest};
use protocol::{CreationId, Offset, Repository, RepositorySettings};
use push_gate::{Ledger, Sessions};
use ssh_server::{
    Account, AuthorizedKeys, Directory, Ended, Hg, HostKeys, Identity, Limits, Metrics, Open, OpenRefused,
    OpenRequest, access, load_or_generate,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use transport::CancellationToken;

use super::{Base, SshError, listen};

/// How long a command waits for its repository to be made.
pub(super) const MAKING: Duration = Duration::from_secs(20);
/// How often it is looked up whether the person of a session may still read.
const RIGHTS_LOOK: Duration = Duration::from_secs(1);

/// Starts Mercurial on the master's repositories.
pub(super) struct Opener {
    pub ledger: Arc<Ledger>,
    pub sessions: Sessions,
    pub mercurial: Mercurial,
    pub pool: LanePool,
    pub table: Arc<LaneTable>,
    pub unsynced: Unsynced,
    pub repositories: std::path::PathBuf,
}

/// Keys of the users and of the server. Read when this instance starts, so that a mistake in a file is told then, and
/// not when it is promoted.
pub(super) struct Keys {
    users: Arc<AuthorizedKeys>,
    host: HostKeys,
}

impl Keys {
    pub fn open(role: &SshRole) -> Result<Keys, SshError> {
        let directory = &role.directory;
        let kept = role.data_directory.join("authorized_keys");
        let users = AuthorizedKeys::open(&directory.authorized_keys_file, &kept, directory.groups.clone())?;
        Ok(Keys { users, host: load_or_generate(&role.host_keys_directory)? })
    }

    /// Answers the users of now: what was changed while this instance stood by counts from the first login.
    async fn users(&self) -> Arc<AuthorizedKeys> {
        let users = self.users.clone();
        let looked = tokio::task::spawn_blocking(move || users.look()).await;
        if let Err(error) = looked {
            tracing::error!(%error, "the look at the authorized keys ended abnormally");
        }
        self.users.clone()
    }
}

/// Listens; the task it answers ends after `stop`, when the last command has drained.
pub async fn start(base: &Base, opener: Arc<Opener>, stop: CancellationToken) -> Result<JoinHandle<()>, SshError> {
    let metrics = Metrics::new()?;
    metrics.register(&base.probes.metrics)?;
    let options = ssh_server::Options {
        host_keys: base.keys.host.clone(),
        directory: Directory::AuthorizedKeys(base.keys.users().await),
        limits: Limits::default(),
        metrics,
        behind_balancer: base.role.behind_balancer,
    };
    let open: Open = Arc::new(move |request| opener.clone().open(request).boxed());
    let listener = listen(base.role.ssh_listen).await?;
    Ok(tokio::spawn(ssh_server::serve(listener, options, open, stop)))
}

impl Opener {
    pub fn new(base: &Base, ledger: Arc<Ledger>, sessions: Sessions) -> Arc<Opener> {
        Arc::new(Opener {
            ledger,
            sessions,
            mercurial: base.local.mercurial().clone(),
            pool: base.local.pool().clone(),
            table: base.local.table(),
            unsynced: base.local.unsynced(),
            repositories: base.local.repositories(),
        })
    }

    async fn open(self: Arc<Self>, request: OpenRequest) -> Result<Hg, OpenRefused> {
        let missing = || OpenRefused::does_not_exist(&request.path);
        let repository = self.ledger.by_path(&request.path).await.ok_or_else(missing)?;
        let access = access::decide(&repository.settings, &request.groups);
        if !access.read {
            return Err(missing());
        }
        let Repository { id, path, .. } = repository;
        // One that was created this moment may still be in the making.
        if !self.table.wait(id, Instant::now() + MAKING, |lane| lane.applied > Offset::ZERO).await {
            return Err(OpenRefused::new("the repository is not ready on the server yet; try again in a minute"));
        }
        let asked = ServeRequest {
            directory: self.repositories.join(id.directory()),
            repository: id,
            path,
            may_write: access.write,
            environment: request.environment(),
            user: request.user,
        };
        let session = self.mercurial.serve(&asked).await.map_err(|error| {
            tracing::warn!(repository = %id, %error, "no hg process for a session");
            OpenRefused::new("the server cannot start Mercurial now; try again in a minute")
        })?;
        let mut child = session.child;
        let identity = request.identity;
        let asked = identity.clone();
        let may_write = move |settings: &RepositorySettings| {
            asked.account().is_some_and(|account| access::decide(settings, &account.groups).write)
        };
        let registered = self.sessions.register(child.pid(), Arc::new(may_write));
        let ended = async move {
            let _registered = registered;
            let revoked = tokio::select! {
                _ = child.ended() => false,
                () = self.revoked(id, &identity) => true,
            };
            if revoked {
                child.kill();
            }
            let ended = child.ended().await;
            if ended == mercurial::Ended::Abnormal {
                self.recover(id).await;
            }
            match ended {
                _ if revoked => Ended::Revoked,
                mercurial::Ended::Exit(code) => Ended::Exit(code),
                mercurial::Ended::Abnormal => Ended::Abnormal,
            }
        };
        Ok(Hg {
            stdin: Box::new(session.stdin),
            stdout: Box::new(session.stdout),
            stderr: Box::new(session.stderr),
            // A task of its own: the repository is mended also when the client is long gone.
            ended: tokio::spawn(ended).map(|ended| ended.unwrap_or(Ended::Abnormal)).boxed(),
        })
    }

    /// Until this person may not even read the repository any more, or it is gone.
    async fn revoked(&self, id: CreationId, identity: &Identity) {
        loop {
            tokio::time::sleep(RIGHTS_LOOK).await;
            let repository = self.ledger.repository(id).await.ok();
            let account = identity.account();
            let may_read = |(repository, account): (Repository, Account)| {
                access::decide(&repository.settings, &account.groups).read
            };
            if !repository.zip(account).is_some_and(may_read) {
                return tracing::info!(repository = %id, user = %identity.user(), "a session's right has ended");
            }
        }
    }

    /// A child that was killed may have left a transaction and a lock; pushes wait until both are gone.
    pub async fn recover(&self, id: CreationId) {
        self.table.update(id, |lane| lane.recovering += 1);
        match self.mend(id).await {
            Ok(()) => tracing::info!(repository = %id, "recovered after a hg process ended abnormally"),
            Err(error) => tracing::error!(repository = %id, error, "a repository cannot be recovered"),
        }
        self.table.update(id, |lane| lane.recovering = lane.recovering.saturating_sub(1));
    }

    async fn mend(&self, id: CreationId) -> Result<(), String> {
        let _changing = self.unsynced.changing(id).await.map_err(|error| error.to_string())?;
        let directory = self.repositories.join(id.directory());
        let request = Request { directory, operation: Operation::Recover { break_locks: false } };
        self.pool.call(request).await.map(drop).map_err(|error| error.to_string())
    }
}
