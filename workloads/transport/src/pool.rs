//! One HTTP/2 connection per peer, made when needed and made again when it has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{ClientError, Identity, Target};

/// Peers that went away are forgotten first; then any, whose requests in flight still end.
const MAX_POOLED: usize = 256;
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// Whoever finds no connection makes it while the others wait for the same one.
type Slot = Arc<tokio::sync::Mutex<Option<SendRequest<Body>>>>;

pub(crate) struct Pool {
    identity: Identity,
    slots: Mutex<HashMap<Target, Slot>>,
}

impl Pool {
    pub(crate) fn new(identity: Identity) -> Pool {
        Pool { identity, slots: Mutex::default() }
    }

    pub(crate) async fn connection(&self, to: &Target) -> Result<SendRequest<Body>, ClientError> {
        // One deadline for waiting and connecting, so that many who ask a dead peer do not wait in a row.
        timeout(CONNECT_DEADLINE, self.open_or_connect(to)).await.unwrap_or_else(|_| {
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 2 s");
            Err(ClientError::Connect { to: to.clone(), source })
        })
    }

    async fn open_or_connect(&self, to: &Target) -> Result<SendRequest<Body>, ClientError> {
        let slot = self.slot(to);
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let fresh = connect(to, &self.identity).await?;
        *slot = Some(fresh.clone());
        Ok(fresh)
    }

    fn slot(&self, to: &Target) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(to) {
            return slot.clone();
        }
        if slots.len() >= MAX_POOLED {
            slots.retain(|_, slot| {
                slot.try_lock().map_or(true, |open| open.as_ref().is_some_and(|open| !open.is_closed()))
            });
        }
        if slots.len() >= MAX_POOLED
            && let Some(any) = slots.keys().next().cloned()
        {
            slots.remove(&any);
        }
        slots.entry(to.clone()).or_default().clone()
    }
}

async fn connect(to: &Target, identity: &Identity) -> Result<SendRequest<Body>, ClientError> {
    let failed = |source| ClientError::Connect { to: to.clone(), source };
    let name = ServerName::try_from(to.name.to_string())
        .map_err(|_| failed(std::io::Error::other("the instance's name cannot stand in a certificate")))?;
    let stream = TcpStream::connect(&to.address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let stream = TlsConnector::from(identity.client()).connect(name, stream).await.map_err(failed)?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(crate::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(crate::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(crate::SEND_BUFFER_BYTES)
        .max_frame_size(crate::FRAME_BYTES)
        .keep_alive_interval(crate::PING_INTERVAL)
        .keep_alive_timeout(crate::PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| ClientError::Broken { to: to.clone(), source })?;
    let to = to.clone();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%to, %error, "a connection ended");
        }
    });
    Ok(sender)
}
