//! Peers: every instance and mirror answers them with whole repositories and content hashes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use interface::paths;
use mercurial::{LanePool, Operation, Request};
use protocol::{CreationId, Offset};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;

use crate::table::LaneTable;

const CHUNK_BYTES: usize = 256 * 1024;

/// Peers' handlers need this of the instance.
pub struct Peers {
    pub pool: LanePool,
    pub table: Arc<LaneTable>,
    /// The instance's `repositories/`.
    pub repositories: PathBuf,
    /// Where archives are written before they are sent.
    pub scratch: PathBuf,
    /// Numbers the archives.
    pub archives: AtomicU64,
}

#[derive(Debug, Deserialize)]
pub struct HashQuery {
    at: Option<Offset>,
}

#[derive(Debug, Serialize)]
struct NotHere {
    error: String,
}

pub fn router(peers: Arc<Peers>) -> Router {
    Router::new().route(paths::ARCHIVE_PATTERN, get(archive)).route(paths::HASH_PATTERN, get(hash)).with_state(peers)
}

async fn archive(State(peers): State<Arc<Peers>>, Path(id): Path<CreationId>) -> Response {
    if peers.table.get(id).is_none_or(|lane| lane.quarantined || lane.applied == Offset::ZERO) {
        return refuse(StatusCode::NOT_FOUND, "this instance does not have that repository whole");
    }
    let number = peers.archives.fetch_add(1, Ordering::Relaxed);
    let file = peers.scratch.join(format!("archive-{number}.tar"));
    let operation = Operation::Snapshot { file: file.clone() };
    let request = Request { directory: peers.repositories.join(id.directory()), operation };
    let answer = match peers.pool.call(request).await {
        Ok(_) => tokio::fs::File::open(&file).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    // The open file keeps its bytes; the name is not needed any more.
    let _never_written = tokio::fs::remove_file(&file).await;
    match answer {
        Ok(file) => Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES)).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

async fn hash(
    State(peers): State<Arc<Peers>>,
    Path(id): Path<CreationId>,
    Query(query): Query<HashQuery>,
) -> Response {
    if peers.table.get(id).is_none_or(|lane| lane.quarantined) {
        return refuse(StatusCode::NOT_FOUND, "this instance does not have that repository whole");
    }
    match peers.pool.hash(&peers.repositories.join(id.directory()), query.at).await {
        Ok(hashes) => axum::Json(hashes).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, axum::Json(NotHere { error: error.to_owned() })).into_response()
}
