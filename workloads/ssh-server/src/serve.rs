//! Accepts connections until the shutdown, then lets running commands end.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::Algorithm;
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::connection;
use crate::crowd::Entrance;
use crate::limits::{
    AUTHENTICATION_ATTEMPTS, GOODBYE, KEEPALIVE_QUESTIONS, PACKET_BYTES, REJECTION, WAITING_PACKETS, WINDOW_BYTES,
};
use crate::seats::Seats;
use crate::{Directory, HostKeys, Limits, Metrics, Open};

pub struct Options {
    pub host_keys: HostKeys,
    pub directory: Directory,
    pub limits: Limits,
    pub metrics: Metrics,
    /// A balancer on this machine says in a first line whose a connection is (`transport::proxied`).
    pub behind_balancer: bool,
}

/// Shared by all connections of one server.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Directory,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) behind_balancer: bool,
    pub(crate) open: Open,
    pub(crate) seats: Seats,
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) tasks: TaskTracker,
    /// No more commands.
    pub(crate) stopping: CancellationToken,
    /// No more connections, whatever they do.
    pub(crate) kill: CancellationToken,
}

/// When the system has no more file descriptors, say: the listen queue keeps the others meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Returns after `shutdown` when all commands have ended, or `limits.drain` later, when the rest has been cut off (its
/// Mercurial processes have then lost their input and output, and end by themselves).
pub async fn serve(listener: TcpListener, options: Options, open: Open, shutdown: CancellationToken) {
    let Options { host_keys, directory, limits, metrics, behind_balancer } = options;
    let shared = Arc::new(Shared {
        config: Arc::new(config(host_keys, &limits)),
        directory: directory.clone(),
        seats: Seats::new(limits.commands_per_user),
        entrance: Entrance::new(&limits),
        limits,
        metrics,
        behind_balancer,
        open,
        tasks: TaskTracker::new(),
        stopping: shutdown.clone(),
        kill: CancellationToken::new(),
    });
    let watching = tokio::spawn(directory.watch(shutdown.clone()));
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept(&listener, &shared) => {}
        () = shared.entrance.keep() => {}
    }
    drop(listener);
    shared.tasks.close();
    if tokio::time::timeout(shared.limits.drain, shared.tasks.wait()).await.is_err() {
        warn!(tasks = shared.tasks.len(), "commands go on after the shutdown: they are cut off");
        shared.kill.cancel();
        if tokio::time::timeout(GOODBYE, shared.tasks.wait()).await.is_err() {
            error!(tasks = shared.tasks.len(), "Mercurial processes go on after they were cut off");
        }
    }
    if let Err(failed) = watching.await {
        error!(%failed, "the watch of the directory ended abnormally");
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    info!(address = ?listener.local_addr().ok(), "SSH connections are accepted");
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                shared.tasks.spawn(connection::run(Arc::clone(shared), stream, client));
            }
            Err(error) => {
                warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn config(host_keys: HostKeys, limits: &Limits) -> Config {
    let default = Preferred::DEFAULT;
    let sha1 = |key: &&Algorithm| !matches!(key, Algorithm::Rsa { hash: None });
    Config {
        server_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-hgd_", env!("CARGO_PKG_VERSION")))),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REJECTION,
        // Clients begin with a question to which "no" is the only answer.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: host_keys.0,
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        channel_buffer_size: WAITING_PACKETS,
        max_auth_attempts: AUTHENTICATION_ATTEMPTS,
        // A hook or a lock may take long; what takes too long is decided in `connection`.
        inactivity_timeout: None,
        keepalive_interval: Some(limits.keepalive),
        keepalive_max: KEEPALIVE_QUESTIONS,
        nodelay: true,
        preferred: Preferred {
            key: Cow::Owned(default.key.iter().filter(sha1).cloned().collect()),
            cipher: Cow::Borrowed(&[
                cipher::AES_256_GCM,
                cipher::AES_128_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_192_CTR,
                cipher::AES_128_CTR,
            ]),
            // Never before the login.
            compression: Cow::Borrowed(&[compression::NONE, compression::ZLIB_LEGACY]),
            ..default
        },
        ..Config::default()
    }
}
