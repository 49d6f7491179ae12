//! The internal HTTP API of an SSH instance (docs/protocols.md). What only a master can answer is 503 elsewhere.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use failover::Drained;
use follower::{Closing, LaneTable};
use interface::{ImportState, Recorded, SkipRequest, StripRequest, paths};
use log::blobs::Blobs;
use protocol::endpoints::ServingReport;
use protocol::status::{Cursor, Status};
use protocol::{Digest, Generation, MasterSettings, Offset, Registry, RepositoryPath, RepositorySettings};
use push_gate::{Ledger, LedgerError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::io::ReaderStream;
use transport::Peer;

use super::drain::Drain;
use super::follow::{Following, follow};
use super::imports::{Imports, Refusal};
use super::publication::Input;
use super::skip;

const CHUNK_BYTES: usize = 256 * 1024;

/// The parts of a running master that answer requests.
pub struct Master {
    pub ledger: Arc<Ledger>,
    pub following: Arc<Following>,
    pub publisher: mpsc::Sender<Input>,
    pub imports: Arc<Imports>,
    pub drain: Drain,
    pub closing: Closing,
    pub table: Arc<LaneTable>,
}

pub fn blobs_router(blobs: Blobs) -> Router {
    Router::new().route(paths::BLOB_PATTERN, get(blob)).with_state(blobs)
}

pub fn master_router(master: Arc<Master>) -> Router {
    Router::new()
        .route(paths::REPOSITORY_PATTERN, put(put_repository).delete(delete_repository).post(act).get(import_state))
        .route(paths::SETTINGS, put(put_settings))
        .route(paths::DRAIN, post(drain))
        .route(paths::REGISTRY, get(registry))
        .route(paths::SNAPSHOT, get(snapshot))
        .route(paths::SETTLED, get(settled))
        .route(paths::PEERS, get(peers))
        .route(paths::ENDPOINTS, post(endpoints))
        .route(paths::STATUS, get(status))
        .with_state(master.clone())
        .merge(Router::new().route(paths::FOLLOW, post(follow)).with_state(master.following.clone()))
}

async fn blob(State(blobs): State<Blobs>, Path(digest): Path<Digest>, request: Request) -> Response {
    let Ok(mut file) = tokio::fs::File::open(blobs.path(digest)).await else {
        return (StatusCode::NOT_FOUND, format!("blob {digest} is not here")).into_response();
    };
    let from = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
    let from = from.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok());
    let length = match file.metadata().await {
        Ok(metadata) => metadata.len(),
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let Some(from) = from else { return whole(file, length) };
    if from >= length || file.seek(std::io::SeekFrom::Start(from)).await.is_err() {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let range = format!("bytes {from}-{}/{length}", length - 1);
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length - from), CHUNK_BYTES));
    (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], body).into_response()
}

fn whole(file: tokio::fs::File, length: u64) -> Response {
    let body = Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES));
    ([(header::CONTENT_LENGTH, length.to_string())], body).into_response()
}

async fn put_repository(
    State(master): State<Arc<Master>>,
    Path(path): Path<RepositoryPath>,
    Json(settings): Json<RepositorySettings>,
) -> Response {
    answer(master.ledger.put(path, settings).await)
}

/// Puts what holds for all repositories, from the next push on.
async fn put_settings(State(master): State<Arc<Master>>, Json(settings): Json<MasterSettings>) -> Response {
    tracing::info!(?settings, "settings for all repositories");
    answer(master.ledger.put_settings(settings).await)
}

async fn delete_repository(State(master): State<Arc<Master>>, Path(path): Path<RepositoryPath>) -> Response {
    answer(master.ledger.delete(&path).await)
}

/// `POST /v1/registry/{path}/strip`, `/import` and `/skip`: the wildcard takes the last word too.
async fn act(State(master): State<Arc<Master>>, Path(path): Path<String>, body: Bytes) -> Result<Response, Refusal> {
    match path.rsplit_once('/').unwrap_or_default() {
        (path, "strip") => {
            let StripRequest { changesets, user } = read(&body)?;
            Ok(answer(master.ledger.strip(&named(path)?, changesets, user).await))
        }
        (path, "skip") => {
            let SkipRequest { offset, user, lose } = read(&body)?;
            let (repository, lost) = skip::lost(&master.ledger, &master.table, &named(path)?, offset).await?;
            if !lose {
                return Ok(Json(serde_json::json!({ "lost": lost })).into_response());
            }
            tracing::error!(%offset, repository = %repository.path, %user, lost, "a record is given up");
            Ok(answer(master.ledger.skip(repository.id, offset, user).await))
        }
        (path, "import") => {
            master.imports.start(&named(path)?, read(&body)?).await?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
        _ => Err((StatusCode::NOT_FOUND, "only .../strip, .../import and .../skip take POST".to_owned())),
    }
}

async fn import_state(
    State(master): State<Arc<Master>>,
    Path(path): Path<String>,
) -> Result<Json<ImportState>, Refusal> {
    match path.strip_suffix("/import") {
        Some(path) => master.imports.state(&named(path)?).await.map(Json),
        None => Err((StatusCode::NOT_FOUND, "only .../import takes GET".to_owned())),
    }
}

fn named(path: &str) -> Result<RepositoryPath, Refusal> {
    path.parse().map_err(|error: protocol::NameError| (StatusCode::NOT_FOUND, error.to_string()))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn answer(result: Result<Offset, LedgerError>) -> Response {
    let error = match result {
        Ok(offset) => return Json(Recorded { offset }).into_response(),
        Err(error) => error,
    };
    let status = match &error {
        LedgerError::NoSuchRepository(_) => StatusCode::NOT_FOUND,
        LedgerError::Exists(_) | LedgerError::Behind { .. } | LedgerError::ReadOnly { .. } => StatusCode::CONFLICT,
        LedgerError::Append(log::AppendError::Unknown(_)) => StatusCode::GATEWAY_TIMEOUT,
        LedgerError::NotAvailable | LedgerError::Append(_) => StatusCode::SERVICE_UNAVAILABLE,
        LedgerError::OutcomeUnknown(_) => StatusCode::GATEWAY_TIMEOUT,
    };
    (status, error.to_string()).into_response()
}

/// Before a switchover: no more pushes are taken; answers when all that were are final, 504 when that takes too long.
async fn drain(State(master): State<Arc<Master>>) -> Response {
    match master.drain.start(&master.ledger, &master.closing).await {
        true => Json(Drained { generation: master.following.generation }).into_response(),
        false => (StatusCode::GATEWAY_TIMEOUT, "pushes that were taken are not final yet").into_response(),
    }
}

async fn registry(State(master): State<Arc<Master>>) -> Json<Registry> {
    Json(master.ledger.registry().await)
}

async fn snapshot(State(master): State<Arc<Master>>, Extension(Peer(name)): Extension<Peer>) -> Response {
    ask(&master, |answer| Input::Snapshot { name, answer }).await
}

async fn settled(State(master): State<Arc<Master>>) -> Response {
    ask(&master, Input::Beginning).await
}

async fn peers(State(master): State<Arc<Master>>) -> Response {
    ask(&master, Input::Peers).await
}

#[derive(Deserialize)]
struct Asked {
    generation: Option<Generation>,
    change: Option<u64>,
}

async fn status(State(master): State<Arc<Master>>, Query(asked): Query<Asked>) -> Response {
    let since = asked.generation.zip(asked.change).map(|(generation, change)| Cursor { generation, change });
    ask::<Status>(&master, |answer| Input::Status { since, answer }).await
}

async fn endpoints(State(master): State<Arc<Master>>, Json(report): Json<ServingReport>) -> Response {
    ask(&master, |answer| Input::Endpoints { report, answer }).await
}

/// Asks the publisher, who alone knows the mirrors.
async fn ask<T: Serialize>(master: &Master, question: impl FnOnce(oneshot::Sender<T>) -> Input) -> Response {
    let (answer, answered) = oneshot::channel();
    let _publisher_gone_shows_below = master.publisher.send(question(answer)).await;
    match answered.await {
        Ok(value) => Json(value).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "this instance cannot say it yet, or is stopping").into_response(),
    }
}
