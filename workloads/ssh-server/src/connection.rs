//! The life of one connection, from the first byte to the end of its command.

use std::net::SocketAddr;
use std::sync::Arc;

use russh::server::run_stream;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::limits::GOODBYE;
use crate::serve::Shared;
use crate::session::{Connection, Phase};
use crate::wire::Wire;

/// A place among those that have not logged in, and one among all.
pub(crate) struct Places {
    pub(crate) handshake: OwnedSemaphorePermit,
    pub(crate) connection: OwnedSemaphorePermit,
}

pub(crate) async fn run(shared: Arc<Shared>, stream: TcpStream, client: SocketAddr, places: Places) {
    let _connection = places.connection;
    shared.metrics.connections.inc();
    let cut = shared.kill.child_token();
    let (phase, mut phases) = watch::channel(Phase::Handshake);
    // However the session ends, its channel's task hears of it.
    let _gone = cut.clone().drop_guard();
    let session = session(Arc::clone(&shared), stream, client, cut.clone(), phase);
    tokio::pin!(session);
    let mut handshake = Some(places.handshake);
    let mut since = Instant::now();
    let mut logged_in = false;
    let ended = loop {
        let now = *phases.borrow_and_update();
        if now != Phase::Handshake {
            handshake = None;
            logged_in = true;
        }
        let stopping = shared.stopping.is_cancelled();
        tokio::select! {
            ended = &mut session => break ended,
            Ok(()) = phases.changed() => since = Instant::now(),
            () = until(now, since, stopping, &shared), if !cut.is_cancelled() => cut.cancel(),
            () = shared.stopping.cancelled(), if !stopping => since = Instant::now(),
        }
    };
    drop(handshake);
    shared.metrics.connections.dec();
    if !logged_in {
        shared.metrics.logins.with_label_values(&["failed"]).inc();
        let reason = ended.err().map(|error| error.to_string());
        info!(event = "login-failed", %client, reason, "the connection ended before a login");
    } else if let Err(error) = ended {
        debug!(%client, %error, "the connection broke");
    }
}

async fn session(
    shared: Arc<Shared>,
    stream: TcpStream,
    client: SocketAddr,
    cut: CancellationToken,
    phase: watch::Sender<Phase>,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let wire = Wire::new(stream, &cut, shared.limits.stall);
    let handler = Connection::new(Arc::clone(&shared), client, cut, phase);
    run_stream(Arc::clone(&shared.config), wire, handler).await?.await
}

/// How long what the connection does now is waited for.
async fn until(phase: Phase, since: Instant, stopping: bool, shared: &Shared) {
    let allowed = match phase {
        Phase::LoggedIn(1..) => return std::future::pending().await,
        Phase::Handshake | Phase::LoggedIn(0) if stopping => GOODBYE,
        Phase::Handshake => shared.limits.handshake,
        Phase::LoggedIn(0) => shared.limits.idle,
    };
    sleep_until(since + allowed).await;
}
