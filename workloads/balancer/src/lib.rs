//! The TCP load balancer of all-in-one: what a Service and its EndpointSlices are on Kubernetes.
//!
//! It never uses an endpoint that the master does not want or does not know to be used (see [`decide`]).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::proxy_line::{self, Ends};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use transport::{Client, Target};

use crate::state::{Counted, State};

pub mod decide;
mod life;
mod relay;
mod reporting;
pub mod ssh;
mod state;

/// How long a client waits for an endpoint when there is none.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long connections may go on after the shutdown began.
const DRAIN: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After this much silence the kernel asks whether a client is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

pub struct BalancerOptions {
    pub listener: TcpListener,
    /// Every instance that may be master.
    pub masters: Vec<Target>,
    pub client: Client,
    pub settings: Settings,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub report_every: Duration,
    pub connect_deadline: Duration,
    /// How often endpoints in use are looked at.
    pub look_every: Duration,
    /// One that answers nothing for so long is left out, and its connections are closed.
    pub silence: Duration,
    /// Connections to an endpoint that left are closed after this.
    pub max_age: Duration,
    /// Further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Endpoints are told whose a connection is, in a first line (`protocol::proxy_line`).
    pub tell_client: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            report_every: Duration::from_millis(200),
            connect_deadline: Duration::from_secs(1),
            look_every: Duration::from_secs(1),
            silence: Duration::from_secs(4),
            max_age: Duration::from_secs(30),
            max_connections: 4096,
            tell_client: false,
        }
    }
}

/// Runs until `shutdown`, then lets connections end for ten seconds.
pub async fn run(options: BalancerOptions, shutdown: CancellationToken) {
    let BalancerOptions { listener, masters, client, settings } = options;
    let state = Arc::new(State::new());
    let connections = TaskTracker::new();
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept(&listener, &state, &settings, &connections) => {}
        () = reporting::converse(&state, &client, masters, &settings) => {}
        () = life::watch(&state, &settings) => {}
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::info!(connections = connections.len(), "connections are cut off");
    }
}

async fn accept(listener: &TcpListener, state: &Arc<State>, settings: &Settings, connections: &TaskTracker) {
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let (connect_deadline, tell_client) = (settings.connect_deadline, settings.tell_client);
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                let state = state.clone();
                connections.spawn(async move {
                    serve(&state, stream, from, connect_deadline, tell_client).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(state: &State, mut client: TcpStream, from: SocketAddr, connect_deadline: Duration, tell_client: bool) {
    if let Err(error) = prepare(&client) {
        return tracing::debug!(%from, %error, "a client left at once");
    }
    let found = timeout(PATIENCE, find(state, from, connect_deadline)).await;
    let Ok((counted, mut stream)) = found else {
        return tracing::warn!(%from, "no endpoint for a client");
    };
    if tell_client && let Err(error) = tell(&client, from, &mut stream).await {
        return tracing::warn!(%from, endpoint = %counted.name, %error, "an endpoint ended a connection at once");
    }
    let closing = state.closing(&counted.name);
    let ended = tokio::select! {
        ended = relay::relay(&mut client, &mut stream, || state.hears(&counted.name)) => ended,
        () = closing.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%from, endpoint = %counted.name, %error, "a connection ended");
    }
    // Closed before it is said to be closed.
    drop((client, stream));
    drop(counted);
}

/// Tries the endpoints in the client's order, and again when others come into use.
async fn find(state: &State, from: SocketAddr, connect_deadline: Duration) -> (Counted<'_>, TcpStream) {
    loop {
        let changed = state.usable.notified();
        for endpoint in state.with(|rotation, _| rotation.candidates(from.ip())) {
            // Counted before it is connected: a report never says less than there is.
            let Some(counted) = state.count(&endpoint.name) else { continue };
            match timeout(connect_deadline, TcpStream::connect(&endpoint.address)).await {
                Ok(Ok(stream)) => {
                    let _best_effort = stream.set_nodelay(true);
                    return (counted, stream);
                }
                _ => {
                    tracing::warn!(endpoint = %endpoint.name, "does not accept connections");
                    state.with(|rotation, now| rotation.refused(now, &endpoint.name, &endpoint.address));
                }
            }
        }
        changed.await;
    }
}

/// An endpoint's bounds and its log are about the client, not about us. A line fits into any socket's buffer.
async fn tell(client: &TcpStream, from: SocketAddr, endpoint: &mut TcpStream) -> Result<(), std::io::Error> {
    let ends = Ends { client: from, server: client.local_addr()? };
    endpoint.write_all(proxy_line::line(ends).as_bytes()).await
}

fn prepare(client: &TcpStream) -> Result<(), std::io::Error> {
    client.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(client, true)?;
    rustix::net::sockopt::set_tcp_keepidle(client, KEEPALIVE_IDLE)?;
    Ok(())
}
