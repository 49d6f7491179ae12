//! `hgd mirror`: follows the master's logs, and serves what all mirrors may show over HTTP.

mod completeness;
mod metrics;
mod neighbours;
mod routes;
mod start;

use std::path::PathBuf;
use std::sync::Arc;

use config::MirrorRole;
use follower::{Kind, Local, LocalOptions, MirrorFeed, MirrorFeedError, Verification};
use http_mirror::{Completeness, Front, FrontMetrics, Peers};
use log::blobs::Blobs;
use mercurial::{WebOptions, WebPool};
use tokio::net::TcpListener;
use tokio::sync::watch;
use transport::{CancellationToken, Client, Identity, Target};

use crate::access::Access;
use crate::admin;
use crate::probes::Probes;
use crate::process::{self, Shutdown};

const NOT_READY: &str = "this mirror does not show everything that is published yet; it will when it has caught up";

#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    #[error(transparent)]
    Config(#[from] config::LoadError),
    #[error(transparent)]
    Open(#[from] register::instance::OpenError),
    #[error(transparent)]
    Identity(#[from] transport::IdentityError),
    #[error(transparent)]
    Blobs(#[from] log::blobs::BlobError),
    #[error(transparent)]
    Local(#[from] follower::LocalError),
    #[error(transparent)]
    Feed(#[from] MirrorFeedError),
    #[error(transparent)]
    Start(#[from] start::StartError),
    #[error("metrics cannot be made: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("{address} cannot be listened on: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("peers cannot reach this mirror at {0}: say with 'advertisedPeer' where they can")]
    Peer(std::net::SocketAddr),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl process::Fault for MirrorError {
    fn is_of_configuration(&self) -> bool {
        match self {
            MirrorError::Config(_) => true,
            MirrorError::Local(error) => error.is_of_configuration(),
            _ => false,
        }
    }
}

pub async fn run(config: PathBuf) -> Result<(), MirrorError> {
    let mut shutdown = process::shutdown_on_signal()?;
    let role: MirrorRole = config::load(&config)?;
    let peer = role.peer().ok_or(MirrorError::Peer(role.admin_listen))?;
    let probes = Probes::start(role.probe_listen).await?;
    let _held = register::instance::open(&role.data_directory, &role.name)?;
    let identity = process::identity(&role.tls)?;
    let client = Client::new(identity.clone());
    let masters: Vec<Target> =
        role.masters.iter().map(|(name, address)| Target::new(name.clone(), address.as_str())).collect();
    tokio::select! {
        prepared = start::prepare(&role.data_directory, &client, &masters) => prepared?,
        () = process::asked(&mut shutdown) => return Ok(()),
    }
    let local = Local::start(LocalOptions {
        name: role.name.clone(),
        kind: Kind::Mirror,
        data: role.data_directory.clone(),
        run: None,
        python: role.python.clone(),
        public_url: None,
        web_cached: Some(role.web.cached),
        site_hgrc: role.site_hgrc.clone(),
        lanes: role.lanes as usize,
        background: false,
        client: client.clone(),
        blobs: Blobs::open(role.data_directory.join("blobs"))?,
        own_log: None,
    })
    .await?;
    serve(Start { role, peer, client, identity, masters, probes }, local, shutdown).await
}

/// Start: what is known before anything of it is read from the disk.
struct Start {
    role: MirrorRole,
    /// Where peers reach this mirror.
    peer: config::Address,
    client: Client,
    identity: Identity,
    masters: Vec<Target>,
    probes: Probes,
}

async fn serve(start: Start, local: Local, mut shutdown: Shutdown) -> Result<(), MirrorError> {
    let Start { role, peer, client, identity, masters, probes } = start;
    let web = WebOptions { light: role.web.light as usize, heavy: role.web.heavy as usize, ..WebOptions::default() };
    let web = WebPool::new(local.mercurial().clone(), web);
    let (master, known_master) = watch::channel(None);
    let verification = Verification::new(&local, client.clone(), known_master.clone());
    let neighbours = neighbours::watch(client.clone(), known_master.clone(), masters.clone(), role.name.clone());
    let (peer_urls, sources) = (neighbours.urls, neighbours.sources);
    let mut front = Front::new(
        routes::watch(&local),
        local.table().watch(),
        probes.is_ready(),
        Peers::new(peer_urls),
        web.clone(),
        FrontMetrics::new(&probes.metrics, web)?,
    );
    let (completeness, questions) = Completeness::channel();
    front.completeness = completeness;
    front.behind_balancer = role.behind_balancer;
    let answered = completeness::answer(client.clone(), known_master.clone(), local.progress(), questions);
    let _ends_with_the_front = tokio::spawn(answered);
    let (public, internal) = (listen(role.http_listen).await?, listen(role.admin_listen).await?);
    let cancel = CancellationToken::new();
    probes.metrics.register(Box::new(metrics::Replication::new(&local)?))?;
    let router = probes.router().merge(admin::status(status(&local, &role)));
    let router = router.merge(follower::peers::router(local.peers()));
    let router = Access::new(role.masters.keys().cloned(), Some(local.registry())).guard(router);
    let internal = tokio::spawn(transport::serve(internal, identity, router, cancel.clone()));
    let public = tokio::spawn(http_mirror::serve(public, front, cancel.clone()));
    let feed = MirrorFeed::new(&local, client, role.advertised_url.clone(), peer.to_string(), master);
    let ended = tokio::select! {
        () = process::asked(&mut shutdown) => Ok(()),
        error = feed.run(masters) => Err(error.into()),
        error = local.failed() => Err(error.into()),
        () = forward(sources, &local) => Ok(()),
        () = verification.run() => Ok(()),
        never = probes.follow(local.ready(), NOT_READY) => match never {},
    };
    probes.stopping();
    cancel.cancel();
    let _their_ends_are_enough = tokio::join!(public, internal);
    local.stop().await;
    // Nobody writes another checkpoint now.
    if let Err(MirrorError::Feed(MirrorFeedError::OutOfRange { .. })) = &ended {
        start::forget(&role.data_directory)?;
    }
    ended
}

/// Tells the lanes who may have what they need.
async fn forward(mut sources: watch::Receiver<Vec<Target>>, local: &Local) {
    loop {
        let now = sources.borrow_and_update().clone();
        local.set_sources(now);
        if sources.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn status(local: &Local, role: &MirrorRole) -> Arc<dyn Fn() -> serde_json::Value + Send + Sync> {
    let (progress, ready) = (local.progress(), local.ready());
    let (name, url) = (role.name.clone(), role.advertised_url.clone());
    Arc::new(move || {
        let progress = progress.borrow().clone().unwrap_or_default();
        serde_json::json!({
            "name": name,
            "url": url,
            "ready": *ready.borrow(),
            "applied": progress.applied_through,
            "published": progress.shown_through,
            "quarantined": progress.lanes.iter().filter(|lane| lane.quarantined).count(),
        })
    })
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, MirrorError> {
    TcpListener::bind(address).await.map_err(|source| MirrorError::Listen { address: address.to_string(), source })
}
