//! The workers that change repositories, one request at a time each, in the order of the calls.

use std::path::Path;
use std::time::Duration;

use protocol::Offset;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::connection::ConnectError;
use crate::frame::Frame;
use crate::request::{ContentHashes, Integrity, LaneState, Request, hash_frame, integrity_frame};
use crate::workers::Workers;
use crate::zygote::Mercurial;

/// The largest repositories are applied from one bundle in minutes; a worker that is silent for longer hangs.
const REQUEST_SECONDS: u64 = 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LaneErrorKind {
    /// Somebody holds the repository's lock.
    Locked,
    /// No space on the volume.
    Full,
    /// No such repository.
    Missing,
    /// Corrupt: what is on disk does not fit. A resync mends it.
    Corrupt,
    /// The request itself is wrong.
    Invalid,
    /// The worker died, hung or could not be had; whether the request was done is not known.
    Worker,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct LaneError {
    pub kind: LaneErrorKind,
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer<T> {
    Ok(T),
    Error(LaneError),
}

#[derive(Clone)]
pub struct LanePool {
    workers: Workers,
}

impl LanePool {
    /// At most `workers` requests run at a time; workers are made on demand.
    pub fn new(mercurial: Mercurial, workers: usize) -> LanePool {
        LanePool { workers: Workers::new(mercurial, "lane", workers) }
    }

    /// A call that is dropped kills its worker: the repository may need `Recover` then, as after any worker's death.
    pub async fn call(&self, request: Request) -> Result<LaneState, LaneError> {
        let frame = request.frame().map_err(not_sent)?;
        self.exchange(&request.directory, frame).await
    }

    /// Content hashes of what is shown; with `at`, `Locked` unless exactly that is shown.
    pub async fn hash(&self, directory: &Path, at: Option<Offset>) -> Result<ContentHashes, LaneError> {
        self.exchange(directory, hash_frame(directory, at).map_err(not_sent)?).await
    }

    /// Reads everything that the repository has stored. Takes as long as `hg verify`.
    pub async fn integrity(&self, directory: &Path) -> Result<Integrity, LaneError> {
        self.exchange(directory, integrity_frame(directory).map_err(not_sent)?).await
    }

    /// Workers that are at work now, and how many there may be.
    pub fn load(&self) -> (usize, usize) {
        (self.workers.busy(), self.workers.limit())
    }

    async fn exchange<T: DeserializeOwned>(&self, directory: &Path, frame: Frame) -> Result<T, LaneError> {
        let unavailable = |error: ConnectError| worker(&error);
        let mut loan = self.workers.lend(directory.to_owned(), false).await.map_err(unavailable)?;
        let Some(connection) = loan.connection() else { return Err(worker(&"the worker is gone")) };
        let exchange = async {
            connection.send(frame).await?;
            connection.receive().await?.parse()
        };
        let hangs = |_| worker(&format!("no answer within {REQUEST_SECONDS} seconds"));
        let answer = timeout(Duration::from_secs(REQUEST_SECONDS), exchange).await.map_err(hangs)?;
        let answer = answer.map_err(|error: std::io::Error| worker(&error))?;
        loan.give_back();
        match answer {
            Answer::Ok(value) => Ok(value),
            Answer::Error(error) => Err(error),
        }
    }
}

fn worker(error: &dyn std::fmt::Display) -> LaneError {
    LaneError { kind: LaneErrorKind::Worker, message: format!("a lane worker failed: {error}") }
}

fn not_sent(error: std::io::Error) -> LaneError {
    LaneError { kind: LaneErrorKind::Invalid, message: error.to_string() }
}
