//! The workers that answer HTTP requests: one set for answers that take milliseconds, one for those that take seconds,
//! so that clones cannot keep everybody else waiting.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{ChangesetId, CreationId, RepositoryPath};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::connection::ConnectError;
use crate::frame::Frame;
use crate::room::{Room, RoomBounds};
use crate::web_body::WebBody;
use crate::wire_commands::WireCommands;
use crate::workers::{Loan, Queue, Workers};
use crate::zygote::Mercurial;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Light,
    /// Clones, pulls with changes, archives.
    Heavy,
}

#[derive(Clone, Copy, Debug)]
pub struct WebOptions {
    /// Workers for light requests.
    pub light: usize,
    pub heavy: usize,
    /// Requests of one class that may wait for a worker; more are refused.
    pub queue_max: usize,
    /// How long one may wait for a worker.
    pub queue_wait: Duration,
    /// How long a worker may think before its answer begins, and between two parts of it.
    pub silence: Duration,
    /// On the disk, for clients that take their answers slowly.
    pub room: RoomBounds,
}

/// So that one client's bundle of a large repository finds room.
const CLIENT_ROOM_BYTES: u64 = 2 * 1024 * 1024 * 1024;
const ROOM_BYTES: u64 = 4 * 1024 * 1024 * 1024;

impl Default for WebOptions {
    fn default() -> WebOptions {
        WebOptions {
            light: 4,
            heavy: 2,
            queue_max: 256,
            queue_wait: Duration::from_secs(60),
            silence: Duration::from_secs(300),
            room: RoomBounds { client_bytes: CLIENT_ROOM_BYTES, all_bytes: ROOM_BYTES },
        }
    }
}

#[derive(Clone, Debug)]
pub struct WebRequest {
    pub directory: PathBuf,
    pub repository: CreationId,
    pub path: RepositoryPath,
    pub method: String,
    /// Without the question mark.
    pub query: String,
    /// Path info: what follows the repository's path, as the client sent it (percent-encoded), with its slash.
    pub path_info: String,
    pub scheme: &'static str,
    /// As the client named us.
    pub host: String,
    /// The client's address.
    pub remote: String,
    /// Values are Latin-1, as in WSGI.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Definite: what is not stored here is stored nowhere. The answer is then never `WebAnswer::Unknown`.
    pub definite: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    directory: &'a Path,
    repository: CreationId,
    path: &'a RepositoryPath,
    method: &'a str,
    query: &'a str,
    path_info: &'a str,
    scheme: &'a str,
    host: &'a str,
    remote: &'a str,
    headers: &'a [(String, String)],
    body: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    definite: bool,
}

/// The beginning of a worker's answer.
#[derive(Deserialize)]
#[serde(untagged)]
enum Head {
    Unknown {
        unknown: Vec<ChangesetId>,
    },
    Response {
        status: u16,
        #[serde(default)]
        reason: String,
        headers: Vec<(String, String)>,
    },
}

pub enum WebAnswer {
    Response(WebResponse),
    /// The request names these and this instance does not have them.
    Unknown(Vec<ChangesetId>),
}

pub struct WebResponse {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    /// Dropping it kills the worker, if that has not answered to the end yet.
    pub body: WebBody,
}

#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("{waiting} requests wait for a worker already")]
    Full { waiting: usize },
    #[error("no worker became free within {} seconds", .0.as_secs())]
    Busy(Duration),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("a web worker failed: {0}")]
    Worker(#[from] std::io::Error),
    #[error("a web worker could not end its answer: {0}")]
    Aborted(String),
    #[error("a web worker said nothing for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("the client takes its answer so slowly that others had to wait")]
    TakenTooSlowly,
}

/// Load of one class now, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebLoad {
    pub busy: usize,
    pub workers: usize,
    pub waiting: usize,
}

#[derive(Clone)]
pub struct WebPool {
    light: Arc<Pool>,
    heavy: Arc<Pool>,
    options: WebOptions,
    /// Room of answers that their clients have not taken yet.
    room: Room,
    folder: PathBuf,
}

struct Pool {
    workers: Workers,
    queue: Arc<Queue>,
}

impl WebPool {
    pub fn new(mercurial: Mercurial, options: WebOptions) -> WebPool {
        let pool = |limit| {
            let workers = Workers::new(mercurial.clone(), "web", limit);
            Arc::new(Pool { workers, queue: Arc::default() })
        };
        let (light, heavy, room) = (pool(options.light), pool(options.heavy), Room::new("answers", options.room));
        WebPool { light, heavy, options, room, folder: mercurial.folder().to_owned() }
    }

    /// A dropped call kills its worker, as a dropped body does.
    pub async fn request(&self, request: &WebRequest, class: Class) -> Result<WebAnswer, WebError> {
        match self.try_request(request, class, false).await {
            // Workers end by themselves between two requests when they have grown; all requests only read.
            // One that has read a request and ends would do so again: the connection then ends in order.
            Err(WebError::Worker(error)) if is_end(&error) => self.try_request(request, class, true).await,
            answer => answer,
        }
    }

    async fn try_request(&self, request: &WebRequest, class: Class, fresh: bool) -> Result<WebAnswer, WebError> {
        let pool = self.pool(class);
        let mut loan = pool.lend(&request.directory, fresh, &self.options).await?;
        let gone = || std::io::Error::other("the worker is gone");
        let connection = loan.connection().ok_or_else(gone)?;
        let exchange = async {
            connection.send(request.frame()?).await?;
            connection.receive().await?.parse::<Head>()
        };
        let silence = self.options.silence;
        match timeout(silence, exchange).await.map_err(|_| WebError::Silent(silence))?? {
            Head::Unknown { unknown } => {
                loan.give_back();
                Ok(WebAnswer::Unknown(unknown))
            }
            Head::Response { status, reason, headers } => {
                let place = self.room.enter(&request.remote);
                let body = WebBody::new(loan, &self.folder, place, pool.queue.clone(), silence);
                Ok(WebAnswer::Response(WebResponse { status, reason, headers, body }))
            }
        }
    }

    /// Answers what the workers' Mercurial takes for a wire command.
    pub fn commands(&self) -> Arc<WireCommands> {
        self.light.workers.mercurial().commands()
    }

    pub fn load(&self, class: Class) -> WebLoad {
        let pool = self.pool(class);
        WebLoad { busy: pool.workers.busy(), workers: pool.workers.limit(), waiting: pool.queue.waiting() }
    }

    fn pool(&self, class: Class) -> &Pool {
        match class {
            Class::Light => &self.light,
            Class::Heavy => &self.heavy,
        }
    }
}

impl Pool {
    async fn lend(&self, directory: &Path, fresh: bool, options: &WebOptions) -> Result<Loan, WebError> {
        let waiting = self.queue.enter();
        // Those who find a free worker are counted for a moment too.
        if waiting.before >= options.queue_max && self.workers.busy() >= self.workers.limit() {
            return Err(WebError::Full { waiting: waiting.before });
        }
        let loan = timeout(options.queue_wait, self.workers.lend(directory.to_owned(), fresh));
        Ok(loan.await.map_err(|_| WebError::Busy(options.queue_wait))??)
    }
}

fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

impl WebRequest {
    fn frame(&self) -> std::io::Result<Frame> {
        let wire = Wire {
            directory: &self.directory,
            repository: self.repository,
            path: &self.path,
            method: &self.method,
            query: &self.query,
            path_info: &self.path_info,
            scheme: self.scheme,
            host: &self.host,
            remote: &self.remote,
            headers: &self.headers,
            body: self.body.len(),
            definite: self.definite,
        };
        Frame::new(&wire, self.body.clone())
    }
}
