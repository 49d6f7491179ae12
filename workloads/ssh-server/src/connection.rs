//! The life of one connection, from the first byte to the end of its command.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use protocol::proxy_line::Ends;
use russh::server::run_stream;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use transport::proxied;

use crate::crowd::{Guest, Stage};
use crate::limits::{ACCOUNT_LOOK, FIRST_LINE, GOODBYE};
use crate::serve::Shared;
use crate::session::{Connection, Login, Phase};
use crate::wire::Wire;

pub(crate) async fn run(shared: Arc<Shared>, mut stream: TcpStream, from: SocketAddr) {
    let Ok(ends) = ends(&shared, &mut stream, from).await else {
        return debug!(client = %from, "a client left at once");
    };
    let client = ends.client;
    let cut = shared.kill.child_token();
    let guest = Arc::new(shared.entrance.arrive(client.ip(), cut.clone()));
    if !served(&shared, &guest, &cut).await {
        shared.metrics.logins.with_label_values(&["refused"]).inc();
        let reason = "others took all places for connections that have not logged in";
        return info!(event = "login-failed", %client, reason, "a connection was not served");
    }
    shared.metrics.connections.inc();
    let (phase, mut phases) = watch::channel(Phase::Handshake);
    // However the session ends, its channel's task hears of it.
    let _gone = cut.clone().drop_guard();
    let login = Arc::new(OnceLock::new());
    let session = session(Arc::clone(&shared), stream, ends, cut.clone(), phase, &guest, &login);
    tokio::pin!(session);
    let mut since = Instant::now();
    let mut logged_in = false;
    let ended = loop {
        let now = *phases.borrow_and_update();
        if let Phase::LoggedIn(commands) = now {
            logged_in = true;
            guest.runs(commands);
        }
        let stopping = shared.stopping.is_cancelled();
        tokio::select! {
            ended = &mut session => break ended,
            Ok(()) = phases.changed() => since = Instant::now(),
            () = until(now, since, stopping, &shared), if !cut.is_cancelled() => cut.cancel(),
            () = shared.stopping.cancelled(), if !stopping => since = Instant::now(),
            // Of one with a command, the command is ended first, by whoever runs it.
            () = revoked(&login), if now == Phase::LoggedIn(0) && !cut.is_cancelled() => cut.cancel(),
        }
    };
    shared.metrics.connections.dec();
    let gave_way = guest.gave_way();
    if !logged_in {
        shared.metrics.logins.with_label_values(&["failed"]).inc();
        let reason = match gave_way {
            true => Some("it took too long while others waited".to_owned()),
            false => ended.err().map(|error| error.to_string()),
        };
        info!(event = "login-failed", %client, reason, "the connection ended before a login");
    } else if gave_way {
        info!(event = "gave-way", %client, "a connection without a command was ended: there are too many");
    } else if let Err(error) = ended {
        debug!(%client, %error, "the connection broke");
    }
}

async fn ends(shared: &Shared, stream: &mut TcpStream, from: SocketAddr) -> Result<Ends, std::io::Error> {
    let direct = Ends { client: from, server: stream.local_addr()? };
    match shared.behind_balancer {
        true => timeout(FIRST_LINE, proxied::ends(stream, from)).await.unwrap_or(Ok(direct)),
        false => Ok(direct),
    }
}

/// False: it was not given a place.
async fn served(shared: &Shared, guest: &Guest, cut: &CancellationToken) -> bool {
    tokio::select! {
        () = guest.served() => true,
        () = cut.cancelled() => false,
        () = shared.stopping.cancelled() => false,
        () = sleep(shared.limits.handshake) => false,
    }
}

async fn session(
    shared: Arc<Shared>,
    stream: TcpStream,
    ends: Ends,
    cut: CancellationToken,
    phase: watch::Sender<Phase>,
    guest: &Arc<Guest>,
    login: &Arc<OnceLock<Arc<Login>>>,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let speaker = Arc::clone(guest);
    let wire = Wire::new(stream, &cut, shared.limits.stall, move || speaker.shows(Stage::Speaking));
    let handler = Connection::new(Arc::clone(&shared), ends, Arc::clone(login), cut, phase, Arc::clone(guest));
    run_stream(Arc::clone(&shared.config), wire, handler).await?.await
}

/// Until the key opens its account no more.
async fn revoked(login: &OnceLock<Arc<Login>>) {
    loop {
        sleep(ACCOUNT_LOOK).await;
        if login.get().is_some_and(|login| login.identity.account().is_none()) {
            return;
        }
    }
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
