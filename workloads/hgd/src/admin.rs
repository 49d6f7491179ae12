//! Pages for operators and probes, the same on every instance.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;

use crate::readiness::Readiness;

/// Probes, and Prometheus, are shown this.
#[derive(Clone)]
pub struct Probes {
    /// Not ready here means: restart me. Hence it never depends on another process.
    pub health: watch::Receiver<Readiness>,
    pub readiness: watch::Receiver<Readiness>,
    pub registry: Registry,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn probes(probes: Probes) -> Router {
    Router::new()
        .route("/healthz", get(|State(probes): State<Probes>| async move { level(&probes.health) }))
        .route("/readyz", get(|State(probes): State<Probes>| async move { level(&probes.readiness) }))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

/// `/status.json`; called for each request, so it only reads levels.
pub fn status(status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>) -> Router {
    Router::new().route("/status.json", get(move || async move { axum::Json(status()) }))
}

fn level(watched: &watch::Receiver<Readiness>) -> Response {
    let level = watched.borrow();
    let status = if level.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", level.sentence())).into_response()
}

async fn metrics(State(probes): State<Probes>) -> Response {
    match TextEncoder::new().encode_to_string(&probes.registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {error}\n")).into_response()
        }
    }
}
