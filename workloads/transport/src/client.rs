//! Asking another process of the installation.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use protocol::InstanceName;

use crate::Identity;
use crate::pool::Pool;

/// A pooled connection may end between two requests; then the request goes out on a new one.
const MAX_ATTEMPTS: usize = 3;

/// One process of the installation. Its certificate must carry `name`, whatever the address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    pub name: InstanceName,
    /// `host:port`
    pub address: String,
}

impl Target {
    pub fn new(name: InstanceName, address: impl Into<String>) -> Target {
        Target { name, address: address.into() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing was sent. A refused certificate may instead show as `Broken`, because TLS 1.3 clients learn it late.
    #[error("cannot connect to {to}: {source}")]
    Connect { to: Target, source: std::io::Error },
    /// The request may have had its effect.
    #[error("the connection to {to} broke: {source}")]
    Broken { to: Target, source: hyper::Error },
    #[error("{to} did not answer within {seconds} s")]
    Deadline { to: Target, seconds: u64 },
    #[error("{to} answered {status}: {message}")]
    Status { to: Target, status: StatusCode, message: String },
    #[error("the answer of {to} is longer than the {limit} bytes allowed")]
    TooLong { to: Target, limit: usize },
    #[error("the answer of {to} is not the JSON that was expected: {source}")]
    Json { to: Target, source: serde_json::Error },
    #[error("cannot store what {to} sends: {source}")]
    Store { to: Target, source: std::io::Error },
    #[error("the answer of {to} does not start at byte {from}")]
    WrongRange { to: Target, from: u64 },
    #[error("{to} gave the connection up after {written} bytes of its answer")]
    Truncated { to: Target, written: u64 },
    #[error("not a request path: '{path}'")]
    Path { path: String },
}

impl ClientError {
    /// True: the peer has seen nothing of the request.
    pub fn was_never_sent(&self) -> bool {
        matches!(self, ClientError::Connect { .. } | ClientError::Path { .. })
    }

    /// The status that the peer answered, if it answered one that is not a success.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A shared handle; clones use the same connections.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
}

impl Client {
    pub fn new(identity: Identity) -> Client {
        Client { pool: Arc::new(Pool::new(identity)) }
    }

    /// Sends `request`, whose URI is a path and query, and answers as soon as the headers of the response are here;
    /// both bodies may still be open then. Statuses are the caller's business. There is no deadline but the
    /// connection's pings, which notice a dead peer within three seconds.
    pub async fn request(&self, to: &Target, request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
        let (mut parts, body) = request.into_parts();
        parts.uri = absolute(to, &parts.uri)?;
        let mut request = Request::from_parts(parts, body);
        for _ in 0..MAX_ATTEMPTS {
            match self.pool.connection(to).await?.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    // It did not leave this process: the pooled connection ended meanwhile.
                    Some(unsent) => request = unsent,
                    None => return Err(ClientError::Broken { to: to.clone(), source: error.into_error() }),
                },
            }
        }
        let source = std::io::Error::other("every connection ended before the request was sent");
        Err(ClientError::Connect { to: to.clone(), source })
    }
}

/// HTTP/2 wants the whole address; the authority is the instance's name.
fn absolute(to: &Target, uri: &Uri) -> Result<Uri, ClientError> {
    let wrong = || ClientError::Path { path: uri.to_string() };
    let path: PathAndQuery = uri.path_and_query().cloned().ok_or_else(wrong)?;
    let authority = Authority::try_from(to.name.as_str()).map_err(|_| wrong())?;
    Uri::builder().scheme(Scheme::HTTPS).authority(authority).path_and_query(path).build().map_err(|_| wrong())
}
