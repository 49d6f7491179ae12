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

/// What the pages show.
#[derive(Clone)]
pub struct Admin {
    /// Not ready here means: restart me.
    pub health: watch::Receiver<Readiness>,
    pub readiness: watch::Receiver<Readiness>,
    pub registry: Registry,
    /// Answers `/status.json`; called for each request, so it only reads levels.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|State(admin): State<Admin>| async move { level(&admin.health) }))
        .route("/readyz", get(|State(admin): State<Admin>| async move { level(&admin.readiness) }))
        .route("/metrics", get(metrics))
        .route("/status.json", get(|State(admin): State<Admin>| async move { axum::Json((admin.status)()) }))
        .with_state(admin)
}

fn level(watched: &watch::Receiver<Readiness>) -> Response {
    let level = watched.borrow();
    let status = if level.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", level.sentence())).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {error}\n")).into_response()
        }
    }
}
