//! `/livez`, `/readyz` and `/metrics`. A standby operator is ready too: its caches are warm, it only does not act.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use transport::CancellationToken;

use crate::metrics::metrics;
use crate::queue::Queue;
use crate::world::{Key, Watches};

pub struct Health {
    pub watches: Watches,
    pub queue: Queue<Key>,
}

/// Binds, then answers what it serves with.
pub async fn start(
    listen: SocketAddr,
    health: Health,
    stop: CancellationToken,
) -> std::io::Result<impl Future<Output = ()> + use<>> {
    let listener = TcpListener::bind(listen).await?;
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Arc::new(health));
    Ok(transport::serve_plain(listener, router, stop))
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let (missing, failing) = (health.watches.missing(), health.watches.failing());
    if missing.is_empty() && failing.is_empty() {
        return "ready\n".into_response();
    }
    let text = format!("not listed yet: {}; cannot be watched: {}\n", list(&missing), list(&failing));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn list(kinds: &BTreeSet<String>) -> String {
    kinds.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

async fn scrape(State(health): State<Arc<Health>>) -> Response {
    health.watches.tell();
    if let Some(metrics) = metrics() {
        let (waiting, busy) = health.queue.load();
        metrics.queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        metrics.workers.set(i64::try_from(busy).unwrap_or(i64::MAX));
    }
    let mut text = String::new();
    match prometheus::TextEncoder::new().encode_utf8(&prometheus::gather(), &mut text) {
        Ok(()) => text.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
