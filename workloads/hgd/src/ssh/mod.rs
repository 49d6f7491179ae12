//! `hgd ssh`: one SSH instance. Its lanes follow its own log; as master it also writes that log, takes pushes and
//! decides what mirrors may show, as standby it copies the log from the master.

mod api;
mod claim;
mod follow;
mod front;
mod imports;
mod metrics;
mod publication;
mod reign;
mod settled;
mod sweep;

use std::path::PathBuf;
use std::sync::Arc;

use config::SshRole;
use follower::{Local, LocalOptions, Standby};
use log::Log;
use log::blobs::Blobs;
use protocol::{InstanceName, LogName};
use tokio::net::TcpListener;
use tokio::sync::watch;
use transport::{CancellationToken, Client, Identity, Target};

use crate::probes::Probes;
use crate::process::{self, Shutdown};

pub use api::PeerAddress;

#[derive(Debug, thiserror::Error)]
pub enum SshError {
    #[error(transparent)]
    Config(#[from] config::LoadError),
    #[error(transparent)]
    Open(#[from] register::instance::OpenError),
    #[error(transparent)]
    Identity(#[from] transport::IdentityError),
    #[error("the register cannot be read: {0}")]
    Register(#[from] register::ReadError),
    #[error("the register does not give this instance the next generation: {0}")]
    Generation(#[from] register::TakeError),
    #[error(transparent)]
    Log(#[from] log::OpenError),
    #[error("the log cannot be written: {0}")]
    Append(#[from] log::AppendError),
    #[error("the log cannot be led: {0}")]
    Lead(#[from] log::LogError),
    #[error("the log cannot be read: {0}")]
    Read(String),
    #[error("the blobs of {0} cannot be opened: {1}")]
    Blobs(String, String),
    #[error(transparent)]
    Local(#[from] follower::LocalError),
    #[error("{address} cannot be listened on: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("{0}")]
    Standby(follower::StandbyError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("metrics cannot be made: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the SSH front cannot start: {0}")]
    Front(String),
}

/// What both kinds of SSH instance have.
pub(crate) struct Base {
    role: SshRole,
    replication: Log,
    publication: Log,
    blobs: Blobs,
    local: Local,
    client: Client,
    identity: Identity,
    probes: Probes,
}

const NOT_FOLLOWING: &str = "this standby does not follow the master yet; it will when the master answers";

pub async fn run(config: PathBuf) -> Result<(), SshError> {
    let mut shutdown = process::shutdown_on_signal()?;
    let role: SshRole = config::load(&config)?;
    let probes = Probes::start(role.probe_listen).await?;
    let _held = register::instance::open(&role.data_directory, &role.name)?;
    let (register, state) = tokio::select! {
        known = claim::read(&role.register, &probes) => known?,
        () = process::asked(&mut shutdown) => return Ok(()),
    };
    let is_master = state.as_ref().and_then(|state| state.master.as_ref()) == Some(&role.name);
    let base = open(role, is_master, probes).await?;
    match state {
        Some(state) if is_master => reign::run(base, register, state.in_sync, shutdown).await,
        _ => stand_by(base, shutdown).await,
    }
}

async fn open(role: SshRole, is_master: bool, probes: Probes) -> Result<Base, SshError> {
    let identity = process::identity(&role.tls)?;
    let client = Client::new(identity.clone());
    let open = |name: LogName| {
        Log::open(log::Options {
            directory: role.data_directory.join("log").join(name.directory()),
            name,
            segment_bytes: role.log.segment_bytes,
            retention: log::Retention {
                age: std::time::Duration::from_secs(role.log.retention.age_seconds),
                bytes: role.log.retention.bytes,
            },
        })
    };
    let (replication, publication) = (open(LogName::Replication)?, open(LogName::Publication)?);
    let folder = role.data_directory.join("blobs");
    let blobs = Blobs::open(&folder);
    let blobs = blobs.map_err(|error| SshError::Blobs(folder.display().to_string(), error.to_string()))?;
    let local = Local::start(LocalOptions {
        name: role.name.clone(),
        kind: follower::Kind::Ssh,
        data: role.data_directory.clone(),
        python: role.python.clone(),
        public_url: Some(role.public_url.clone()),
        site_hgrc: role.site_hgrc.clone(),
        lanes: role.lanes as usize,
        background: !is_master,
        client: client.clone(),
        blobs: blobs.clone(),
        own_log: Some(replication.clone()),
    })
    .await?;
    local.set_sources(role.peers.iter().map(|(name, address)| Target::new(name.clone(), address.as_str())).collect());
    tokio::spawn(sweep::run(replication.clone(), blobs.clone()));
    Ok(Base { role, replication, publication, blobs, local, client, identity, probes })
}

/// The router that both kinds serve on the admin port.
fn common_router(base: &Base) -> axum::Router {
    let repositories = follower::peers::router(base.local.peers());
    repositories.merge(api::blobs_router(base.blobs.clone())).merge(base.probes.router())
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, SshError> {
    TcpListener::bind(address).await.map_err(|source| SshError::Listen { address: address.to_string(), source })
}

async fn stand_by(base: Base, mut shutdown: Shutdown) -> Result<(), SshError> {
    let admin = listen(base.role.admin_listen).await?;
    let cancel = CancellationToken::new();
    let server = tokio::spawn(transport::serve(admin, base.identity.clone(), common_router(&base), cancel.clone()));
    let masters = peers(&base.role);
    let (following, follows) = watch::channel(false);
    let standby = Arc::new(Standby {
        name: base.role.name.clone(),
        client: base.client.clone(),
        replication: base.replication.clone(),
        publication: base.publication.clone(),
        blobs: base.blobs.clone(),
        progress: base.local.progress(),
        following,
    });
    metrics::Instance::register(&base, metrics::Reign::Standby)?;
    let ended = tokio::select! {
        () = process::asked(&mut shutdown) => Ok(()),
        error = standby.run(masters) => Err(SshError::Standby(error)),
        error = base.local.failed() => Err(error.into()),
        error = log_stopped(&base) => Err(error),
        never = base.probes.follow(follows, NOT_FOLLOWING) => match never {},
    };
    base.probes.stopping();
    cancel.cancel();
    let _its_end_is_enough = server.await;
    base.local.stop().await;
    ended
}

/// Ready when one of the logs refuses to go on: after a failed fsync nobody knows what is on disk, so that the process
/// must end and read it anew.
async fn log_stopped(base: &Base) -> SshError {
    let (mut replication, mut publication) = (base.replication.watch(), base.publication.watch());
    let view = tokio::select! {
        view = replication.wait_for(|view| view.stopped.is_some()) => view,
        view = publication.wait_for(|view| view.stopped.is_some()) => view,
    };
    let why = view.ok().and_then(|view| view.stopped.clone());
    SshError::Read(why.map_or_else(|| "its thread has ended".to_owned(), |why| why.to_string()))
}

fn peers(role: &SshRole) -> Vec<Target> {
    let target = |(name, address): (&InstanceName, &config::Address)| Target::new(name.clone(), address.as_str());
    role.peers.iter().map(target).collect()
}
