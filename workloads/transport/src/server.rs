//! Serving: HTTP/2 to processes of this installation only, and plain HTTP on loopback for status.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use protocol::InstanceName;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{Identity, host};

/// Further ones wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 1024;
/// How long requests may go on after the shutdown began. With the drain of the SSH front, or of the HTTP front, this
/// stays below the 30 s that Kubernetes gives a pod by default.
pub const DRAIN_SECONDS: u64 = 5;
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// Out of descriptors or the like: accepting again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Peer that sent a request, from its certificate: an extension of every request that [`serve`] hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(pub InstanceName);

/// Serves `router` until `shutdown`, then lets requests in flight end for [`DRAIN_SECONDS`]. Handlers of endless
/// streams watch the same token.
pub async fn serve(listener: TcpListener, identity: Identity, router: Router, shutdown: CancellationToken) {
    accept(listener, shutdown, move |stream, shutdown| {
        let acceptor = TlsAcceptor::from(identity.server());
        secure_connection(stream, acceptor, router.clone(), shutdown)
    })
    .await;
}

/// The same without TLS, HTTP/1.1 or HTTP/2 and without [`Peer`]: for read-only pages that say nothing secret. On a
/// loopback address it answers only who names that address: a web page whose name is led here reads nothing.
pub async fn serve_plain(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let router = if is_local { router.layer(middleware::from_fn(host::only_loopback)) } else { router };
    accept(listener, shutdown, move |stream, shutdown| plain_connection(stream, router.clone(), shutdown)).await;
}

async fn accept<F>(
    listener: TcpListener,
    shutdown: CancellationToken,
    serve: impl Fn(TcpStream, CancellationToken) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    while let Some((stream, place)) = next(&listener, &places, &shutdown).await {
        let served = serve(stream, shutdown.clone());
        let drained = drained(shutdown.clone());
        connections.spawn(async move {
            tokio::select! {
                () = served => {}
                () = drained => {}
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn drained(shutdown: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS)).await;
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let attempt = async {
        let place = places.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                Err(error) => tracing::warn!(%error, "cannot accept a connection"),
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => None,
        accepted = attempt => accepted,
    }
}

async fn secure_connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router, shutdown: CancellationToken) {
    let from = stream.peer_addr().ok();
    let _best_effort = stream.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(?from, %error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!(?from, "a TLS handshake took too long"),
    };
    let Some(peer) = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(peer) else {
        return tracing::warn!(?from, "a certificate of our authority names no instance");
    };
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(crate::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(crate::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(crate::SEND_BUFFER_BYTES)
        .max_frame_size(crate::FRAME_BYTES)
        .max_concurrent_streams(crate::MAX_STREAMS)
        .keep_alive_interval(crate::PING_INTERVAL)
        .keep_alive_timeout(crate::PING_TIMEOUT);
    let service = hyper::service::service_fn(move |request| answer(&router, request, Some(&peer)));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?from, %error, "a connection ended");
    }
}

async fn plain_connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let _best_effort = stream.set_nodelay(true);
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    let service = hyper::service::service_fn(move |request| answer(&router, request, None));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a plain connection ended");
    }
}

fn answer(
    router: &Router,
    request: Request<Incoming>,
    peer: Option<&Peer>,
) -> impl Future<Output = Result<axum::response::Response, Infallible>> + use<> {
    let mut request = request.map(Body::new);
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer.clone());
    }
    router.clone().oneshot(request)
}

/// The authority writes an instance's name before its other names.
fn peer(certificate: &CertificateDer<'_>) -> Option<Peer> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_dns_names().next()?.parse().ok().map(Peer)
}
