//! Takes connections, at most so many, and ends them in order.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use transport::proxied;

use crate::answer::{From, answer};
use crate::front::{Front, Limits};
use crate::head_stream::HeadStream;
use crate::places::{Doors, Place};
use crate::timed_stream::TimedStream;

/// After `accept` failed (no descriptors left, for instance).
const ACCEPT_PAUSE_MILLISECONDS: u64 = 50;
const MAX_HTTP2_STREAMS: u32 = 32;
const HTTP2_KEEPALIVE_SECONDS: u64 = 20;

/// Serves until `shutdown` is cancelled and every connection has ended, or was cut after `Limits::drain`.
pub async fn serve(listener: TcpListener, front: Front, shutdown: CancellationToken) {
    let front = Arc::new(front);
    let builder = Arc::new(builder(&front.limits));
    let doors = Doors::new(&front.limits);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &doors) => accepted,
        };
        match accepted {
            Ok((place, stream, client)) => {
                let connection = Connection { stream, client, place };
                connections.spawn(connection.serve(front.clone(), builder.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// One that finds no place waits here, and those after it in the kernel's queue, where they cost us nothing.
async fn accept(listener: &TcpListener, doors: &Arc<Doors>) -> io::Result<(Arc<Place>, TcpStream, SocketAddr)> {
    let (stream, client) = listener.accept().await?;
    Ok((doors.enter(client.ip()).await, stream, client))
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_wait)
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(HTTP2_KEEPALIVE_SECONDS));
    builder
}

struct Connection {
    stream: TcpStream,
    client: SocketAddr,
    place: Arc<Place>,
}

impl Connection {
    async fn serve(self, front: Arc<Front>, builder: Arc<auto::Builder<TokioExecutor>>, shutdown: CancellationToken) {
        let Connection { mut stream, client, place } = self;
        // hg waits for small answers one after the other: Nagle's algorithm would cost 40 ms for each.
        let _ = stream.set_nodelay(true);
        front.metrics.connections.inc();
        let whose = async {
            if front.behind_balancer { Ok(proxied::ends(&mut stream, client).await?.client) } else { Ok(client) }
        };
        let whose = async {
            tokio::select! {
                whose = whose => whose,
                () = place.given_up() => Err(io::ErrorKind::ConnectionAborted.into()),
            }
        };
        let whose: Result<io::Result<SocketAddr>, _> = timeout(front.limits.header_wait, whose).await;
        let ended = match whose {
            Ok(Ok(client)) => {
                place.belongs_to(client.ip());
                tokio::select! {
                    ended = carry(stream, client, &front, &builder, &place, &shutdown) => ended,
                    () = place.given_up() => Ok(()),
                }
            }
            // It said nothing, or has gone.
            Ok(Err(_)) | Err(_) => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended with an error");
        }
        front.metrics.connections.dec();
        drop(place);
    }
}

/// The requests of one connection.
async fn carry(
    stream: TcpStream,
    client: SocketAddr,
    front: &Arc<Front>,
    builder: &auto::Builder<TokioExecutor>,
    place: &Arc<Place>,
    shutdown: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (limits, connected, handed) = (front.limits, Instant::now(), Arc::new(AtomicU64::new(0)));
    let service = {
        let (front, handed, place) = (front.clone(), handed.clone(), place.clone());
        service_fn(move |request| {
            handed.fetch_add(1, Ordering::Relaxed);
            let (front, from) = (front.clone(), From { client: client.ip(), connected, busy: place.busy() });
            async move { Ok::<_, std::convert::Infallible>(answer(front, request, from).await) }
        })
    };
    let stream = TimedStream::new(stream, limits.header_wait, limits.write_wait);
    let stream = TokioIo::new(HeadStream::new(stream, front.clone(), client.ip(), handed));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut old = false;
    loop {
        tokio::select! {
            // A request that is here already is answered.
            biased;
            ended = connection.as_mut() => return ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                return timeout(limits.drain, connection.as_mut()).await.unwrap_or(Ok(()));
            }
            // What has begun goes on, for as long as it takes.
            () = sleep(limits.connection_age), if !old => {
                old = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
