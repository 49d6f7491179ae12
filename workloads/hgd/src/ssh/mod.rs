//! `hgd ssh`: one SSH instance. Its lanes follow its own log; as master it also writes that log, takes pushes and
//! decides what mirrors may show, as standby it copies the log from the master.

mod api;
mod changes;
mod claim;
mod drain;
pub mod family;
mod follow;
mod front;
mod held;
mod imports;
mod keep;
mod metrics;
mod own;
mod publication;
mod reign;
mod settled;
mod shared;
mod skip;
mod standbys;
mod sweep;
mod tenure;
mod trim;
mod witness;
mod writable;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use config::SshRole;
use follower::lanes::Origin;
use follower::{Local, LocalError, LocalOptions, Standby, StandbyError};
use interface::{Ask, ask, paths};
use log::Log;
use log::blobs::Blobs;
use protocol::{DiskId, Generation, InstanceName, LogName, Offset, PerLog, Registry};
use register::{Register, Seal, State};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tower::ServiceExt;
use transport::{CancellationToken, Client, Target};

use self::own::Own;
use self::settled::Settled;
use self::tenure::Tenure;
use self::trim::Beginning;
use crate::access::Access;
use crate::probes::Probes;
use crate::process::{self, Shutdown};

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
    #[error(transparent)]
    Users(#[from] ssh_server::KeysError),
    #[error(transparent)]
    HostKeys(#[from] ssh_server::HostKeysError),
    #[error(transparent)]
    Trim(#[from] trim::TrimError),
    #[error(transparent)]
    Seal(#[from] register::SealError),
    #[error("generation {generation} is over, the register has another: this instance starts again and follows")]
    Deposed { generation: Generation, by: Option<InstanceName> },
    #[error("generation {generation} is over, the volume is sealed with {by}: this instance starts again")]
    Sealed { generation: Generation, by: Generation },
    #[error("this standby begins anew from the master: it starts again and follows")]
    BegunAnew,
}

impl process::Fault for SshError {
    fn is_of_configuration(&self) -> bool {
        match self {
            SshError::Config(_) => true,
            SshError::Local(error) => error.is_of_configuration(),
            SshError::Users(error) => error.is_of_configuration(),
            SshError::HostKeys(error) => error.is_of_configuration(),
            _ => false,
        }
    }
}

impl SshError {
    /// Answers whether an error ends only this life of the process, which then begins again.
    fn begins_again(&self) -> bool {
        matches!(self, SshError::Deposed { .. } | SshError::Sealed { .. } | SshError::BegunAnew)
    }
}

/// Base of an SSH instance, whatever its role.
pub(crate) struct Base {
    role: SshRole,
    logs: PerLog<Log>,
    blobs: Blobs,
    local: Local,
    client: Client,
    probes: Probes,
    keys: front::Keys,
    own: Arc<Own>,
    /// Where all instances have one volume.
    tenure: Option<Tenure>,
    /// Master: what only it answers.
    master: watch::Sender<Option<Router>>,
    reign: watch::Sender<metrics::Reign>,
}

/// How long a standby that is asked to end waits to be left out of the in-sync set, and how often it looks.
const LEAVE: Duration = Duration::from_secs(1);
/// How long one instance may take to say where a standby begins.
const BEGINNING: Duration = Duration::from_secs(30);
const LEAVE_LOOK: Duration = Duration::from_millis(50);
const NOT_FOLLOWING: &str = "this standby does not follow the master yet; it will when the master answers";

pub async fn run(config: PathBuf) -> Result<(), SshError> {
    let shutdown = process::shutdown_on_signal()?;
    let ended = live(config, shutdown.clone()).await;
    if let Err(error) = ended.as_ref()
        && error.begins_again()
    {
        process::begin_again(error, &shutdown);
    }
    ended
}

async fn live(config: PathBuf, mut shutdown: Shutdown) -> Result<(), SshError> {
    let role: SshRole = config::load(&config)?;
    let probes = Probes::start(role.probe_listen).await?;
    process::alone().await?;
    if let Some(settings) = role.shared.clone() {
        return shared::run(role, settings, probes, shutdown).await;
    }
    let instance = register::instance::open(&role.data_directory, &role.name)?;
    let (register, state) = tokio::select! {
        known = claim::read(&role.register, &probes) => known?,
        () = process::asked(&mut shutdown) => return Ok(()),
    };
    let identity = process::identity(&role.tls)?;
    let admin = listen(role.admin_listen).await?;
    let stands_by = state.as_ref().and_then(|state| state.master.as_ref()) != Some(&role.name);
    let seal = Seal::open(&role.data_directory)?;
    let base = open(role, Client::new(identity.clone()), instance.id.clone(), seal, stands_by, None, probes).await?;
    metrics::Instance::register(&base, base.reign.subscribe())?;
    let cancel = CancellationToken::new();
    let server = tokio::spawn(transport::serve(admin, identity, router(&base), cancel.clone()));
    let ended = match state {
        Some(state) if names(&base, &state) => reign::run(&base, register, shutdown).await,
        _ => match stand_by(&base, &register, &mut shutdown).await {
            Ok(Ended::Named) => reign::run(&base, register, shutdown).await,
            Ok(Ended::Asked) => Ok(()),
            Err(error) => Err(error),
        },
    };
    base.probes.stopping();
    cancel.cancel();
    let _its_end_is_enough = server.await;
    let Base { role, client, local, logs, .. } = base;
    local.stop().await;
    if ended.as_ref().is_err_and(is_out_of_range) && begin_anew(&role, &client, &logs).await? {
        return Err(SshError::BegunAnew);
    }
    ended
}

/// The register names this instance as master, and means this disk.
fn names(base: &Base, state: &State) -> bool {
    let own = &base.own;
    state.master.as_ref() == Some(&own.name) && state.means(&own.name, &own.disk)
}

async fn open(
    role: SshRole,
    client: Client,
    disk: DiskId,
    seal: Seal,
    stands_by: bool,
    tenure: Option<Tenure>,
    probes: Probes,
) -> Result<Base, SshError> {
    let keys = front::Keys::open(&role)?;
    let open = |name: LogName| {
        let options = log::Options {
            directory: role.data_directory.join("log").join(name.directory()),
            name,
            segment_bytes: role.log.segment_bytes,
            retention: log::Retention {
                age: std::time::Duration::from_secs(role.log.retention.age_seconds),
                bytes: role.log.retention.bytes,
            },
        };
        match tenure.clone() {
            Some(tenure) => Log::open_shared(options, Box::new(move || tenure.holds())),
            None => Log::open(options),
        }
    };
    let logs = PerLog::new(open(LogName::Replication)?, open(LogName::Publication)?);
    let folder = role.data_directory.join("blobs");
    let blobs = Blobs::open(&folder);
    let blobs = blobs.map_err(|error| SshError::Blobs(folder.display().to_string(), error.to_string()))?;
    let own = Arc::new(Own {
        name: role.name.clone(),
        disk,
        seal: Arc::new(seal),
        logs: logs.clone(),
        heard: watch::Sender::new(None),
        leading: watch::Sender::new(None),
        unable: watch::Sender::new(None),
        look: Notify::new(),
    });
    let local = Local::start(LocalOptions {
        name: role.name.clone(),
        kind: follower::Kind::Ssh,
        data: role.data_directory.clone(),
        run: role.shared.as_ref().map(|shared| shared.run_directory.clone()),
        python: role.python.clone(),
        public_url: Some(role.public_url.clone()),
        web_cached: None,
        site_hgrc: role.site_hgrc.clone(),
        lanes: role.lanes as usize,
        background: stands_by,
        client: client.clone(),
        blobs: blobs.clone(),
        own_log: Some(logs.replication.clone()),
    })
    .await?;
    // Where there is one volume, no SSH instance has another copy.
    local.set_sources(if tenure.is_some() { Vec::new() } else { peers(&role) });
    tokio::spawn(writable::prove(local.mercurial().clone(), own.clone()));
    tokio::spawn(sweep::run(logs.replication.clone(), blobs.clone()));
    let (master, reign) = (watch::Sender::new(None), watch::Sender::new(metrics::Reign::Standby));
    Ok(Base { role, logs, blobs, local, client, probes, keys, own, tenure, master, reign })
}

/// Routes the admin port: what every SSH instance answers, and while there is a reign, what a master does.
fn router(base: &Base) -> Router {
    let master = base.master.subscribe();
    let as_master = move |request: Request| {
        let router = master.borrow().clone();
        async move {
            match router {
                Some(router) => router.oneshot(request).await.into_response(),
                None => (StatusCode::SERVICE_UNAVAILABLE, interface::NOT_THE_MASTER).into_response(),
            }
        }
    };
    let repositories = follower::peers::router(base.local.peers());
    let router = repositories.merge(api::blobs_router(base.blobs.clone())).merge(own::router(base.own.clone()));
    let router = router.merge(held::router(base.own.clone(), &base.local));
    let router = router.merge(base.probes.router()).fallback(as_master);
    access(&base.role, Some(base.local.registry())).guard(router)
}

fn access(role: &SshRole, registry: Option<watch::Receiver<Arc<Registry>>>) -> Access {
    Access::new(role.peers.keys().cloned().chain([role.name.clone()]), registry).of(role.name.clone())
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, SshError> {
    TcpListener::bind(address).await.map_err(|source| SshError::Listen { address: address.to_string(), source })
}

enum Ended {
    /// The process was asked to end.
    Asked,
    /// The register names this instance as master.
    Named,
}

async fn stand_by(base: &Base, register: &Register, shutdown: &mut Shutdown) -> Result<Ended, SshError> {
    let masters = peers(&base.role);
    let (following, follows) = watch::channel(false);
    let (starts, known_starts) = watch::channel(PerLog::of(|_| Offset(1)));
    let (leaving, leaves) = watch::channel(false);
    let standby = Arc::new(Standby {
        name: base.role.name.clone(),
        disk: base.own.disk.clone(),
        seal: base.own.seal.clone(),
        heard: base.own.heard.clone(),
        starts,
        client: base.client.clone(),
        logs: base.logs.clone(),
        blobs: base.blobs.clone(),
        progress: base.local.progress(),
        following,
        leaving: leaves,
    });
    tokio::select! {
        () = left(base, register, &leaving, shutdown) => Ok(Ended::Asked),
        () = named(base, register) => Ok(Ended::Named),
        error = standby.run(masters) => Err(SshError::Standby(error)),
        error = trim::run(base, known_starts) => Err(error.into()),
        error = base.local.failed() => Err(error.into()),
        error = log_stopped(base) => Err(error),
        never = base.probes.follow(follows, NOT_FOLLOWING) => match never {},
    }
}

/// The process was asked to end, and commits do not need it any more. In all-in-one everything is stopped together,
/// and stays in the set.
async fn left(base: &Base, register: &Register, leaving: &watch::Sender<bool>, shutdown: &mut Shutdown) {
    process::asked(shutdown).await;
    if !reign::is_pod(&base.role) {
        return;
    }
    leaving.send_replace(true);
    let is_out = async {
        while let Ok(Some(found)) = register.read().await
            && found.value.in_sync.contains(&base.own.name)
        {
            tokio::time::sleep(LEAVE_LOOK).await;
        }
    };
    let _missed_then = tokio::time::timeout(LEAVE, is_out).await;
}

/// Answers whether what this standby needs next is neither in the master's logs nor in its own. The latter when an
/// earlier beginning ended before the logs were reset.
fn is_out_of_range(error: &SshError) -> bool {
    let own = match error {
        SshError::Standby(StandbyError::OutOfRange { .. }) => return true,
        SshError::Trim(trim::TrimError::Read(error)) | SshError::Local(LocalError::Log(error)) => error,
        _ => return false,
    };
    matches!(own, log::SubscribeError::OutOfRange { .. })
}

/// Begins anew: takes from the master's registry what its logs do not hold any more, and at the next start
/// repositories from peers. A copy that is here and still fits is not fetched again. False: no master has answered.
async fn begin_anew(role: &SshRole, client: &Client, logs: &PerLog<Log>) -> Result<bool, SshError> {
    let asked = ask::<Beginning>(client, &peers(role), Ask::Get(paths::SETTLED), BEGINNING).await;
    let Ok(beginning) = asked else { return Ok(false) };
    tracing::warn!(at = %beginning.registry.through(), "this standby begins anew from the master");
    // The logs last: should this end half-way, the master's start is missed again.
    let start = beginning.registry.through().next();
    follower::checkpoint::store(&role.data_directory, beginning.checkpoint(), Origin::Snapshot)?;
    Settled::replace(&role.data_directory, beginning.registry)?;
    logs.replication.reset(start, beginning.before.replication).await?;
    logs.publication.reset(beginning.publication_start, beginning.before.publication).await?;
    Ok(true)
}

/// Until the register names this instance as master.
async fn named(base: &Base, register: &Register) {
    let mut said = false;
    loop {
        match register.read().await {
            Ok(Some(found)) if names(base, &found.value) => return,
            Ok(Some(found)) if found.value.master.as_ref() == Some(&base.own.name) && !said => {
                tracing::error!(
                    "the register names this instance on another disk: this one is a newcomer, and follows"
                );
                said = true;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the register cannot be read"),
        }
        base.own.next_look().await;
    }
}

/// Ready when one of the logs refuses to go on: after a failed fsync nobody knows what is on disk, so that the process
/// must end and read it anew.
async fn log_stopped(base: &Base) -> SshError {
    let (mut replication, mut publication) = (base.logs.replication.watch(), base.logs.publication.watch());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins again where the checkpoint is the master's already, and the logs are the old ones still.
    #[test]
    fn a_beginning_that_ended_half_way_is_begun_again() {
        let own = || log::SubscribeError::OutOfRange { start: Offset(1), end: Offset(5) };
        let masters = StandbyError::OutOfRange { start: Offset(9), wanted: Offset(6) };
        assert!(is_out_of_range(&SshError::Standby(masters)));
        assert!(is_out_of_range(&SshError::Trim(trim::TrimError::Read(own()))));
        assert!(is_out_of_range(&SshError::Local(LocalError::Log(own()))));
        let other = log::SubscribeError::Truncated;
        assert!(!is_out_of_range(&SshError::Trim(trim::TrimError::Read(other.clone()))));
        assert!(!is_out_of_range(&SshError::Local(LocalError::Log(other))));
    }
}
