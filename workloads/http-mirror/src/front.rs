//! What the front is made of, and how one request goes through it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use mercurial::WebPool;
use tokio::sync::{Semaphore, watch};

use crate::access::{Access, AccessBody};
use crate::answers;
use crate::body::FrontBody;
use crate::completeness::Completeness;
use crate::forward::{self, Asked};
use crate::index;
use crate::metrics::{FrontMetrics, Kind};
use crate::peers::Peers;
use crate::readiness::Readiness;
use crate::request_body::{self, LARGE_BODIES, ReadError};
use crate::routes::Routes;
use crate::wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    /// Something in front of us ends TLS.
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub headers: usize,
    /// Of all headers of one request together, and of what is kept for one slow reader.
    pub header_bytes: usize,
    pub body_bytes: usize,
    /// For a request's header, also when it is the next one on a connection.
    pub header_wait: Duration,
    /// Between two parts of a request's body.
    pub body_wait: Duration,
    /// How long a client may take nothing of its answer.
    pub write_wait: Duration,
    /// An older connection takes no further request: its client connects anew, to whichever instance is in the Service
    /// by then. Whoever takes an instance out of its Service counts on less than 30 s.
    pub connection_age: Duration,
    /// How long connections may live on after shutdown has begun.
    pub drain: Duration,
    /// How long a request waits for changesets that it names and that are not here yet.
    pub unknown_wait: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 2048,
            headers: 1000,
            header_bytes: 1024 * 1024,
            body_bytes: 16 * 1024 * 1024,
            header_wait: Duration::from_secs(30),
            body_wait: Duration::from_secs(30),
            write_wait: Duration::from_secs(60),
            connection_age: Duration::from_secs(25),
            drain: Duration::from_secs(25),
            unknown_wait: Duration::from_secs(1),
        }
    }
}

/// Everything that changes comes as a watched level.
pub struct Front {
    pub routes: watch::Receiver<Arc<Routes>>,
    /// Changes whenever something was applied here.
    pub applied: watch::Receiver<u64>,
    pub readiness: watch::Receiver<Readiness>,
    pub peers: Peers,
    pub web: WebPool,
    pub metrics: FrontMetrics,
    pub limits: Limits,
    pub scheme: Scheme,
    pub completeness: Completeness,
    large_bodies: Semaphore,
}

impl Front {
    pub fn new(
        routes: watch::Receiver<Arc<Routes>>,
        applied: watch::Receiver<u64>,
        readiness: watch::Receiver<Readiness>,
        peers: Peers,
        web: WebPool,
        metrics: FrontMetrics,
    ) -> Front {
        let large_bodies = Semaphore::new(LARGE_BODIES);
        let (limits, scheme, completeness) = (Limits::default(), Scheme::Http, Completeness::default());
        Front { routes, applied, readiness, peers, web, metrics, limits, scheme, completeness, large_bodies }
    }

    /// One request, from its header to the beginning of its answer.
    pub(crate) async fn answer<B>(self: Arc<Self>, request: Request<B>, client: SocketAddr) -> Response<AccessBody>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let is_http_1 = request.version() <= Version::HTTP_11;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut access = Access::new(self.clone(), client.ip(), request.method().clone(), path);
        let mut response = self.route(request, client.ip(), &mut access).await;
        // A client that holds its connection would otherwise stay with an instance that has left the Service.
        if is_http_1 && !self.readiness.borrow().is_ready() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        access.follow(response)
    }

    async fn route<B>(&self, request: Request<B>, client: IpAddr, access: &mut Access) -> Response<FrontBody>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let (parts, body) = request.into_parts();
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let command = wire::command(query).map(std::borrow::Cow::into_owned);
        access.command.clone_from(&command);
        if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
            return answers::sentence(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST are understood here");
        }
        if wire::is_push(&parts.method, command.as_deref()) {
            return self.refuse_push(body).await;
        }
        let routes = self.routes.borrow().clone();
        let Some((route, path_info)) = routes.find(path) else {
            return no_repository(&routes, path, command.is_some(), &parts, access);
        };
        access.repository = Some(route.path.to_string());
        let limits = &self.limits;
        let body = match request_body::read(body, limits.body_bytes, limits.body_wait, &self.large_bodies).await {
            Ok(body) => body,
            Err(error) => return body_refused(&error),
        };
        let class = wire::class(command.as_deref(), path_info, query, &parts.headers, &body);
        access.kind = Kind::of(command.is_some(), class);
        let asked = Asked { route, path_info, class, parts: &parts, body: &body, client };
        forward::answer(self, &asked).await
    }

    /// hg prints `abort: authorization failed` for this status, as with the reference (facts/hgmo.md, A19).
    async fn refuse_push<B: http_body::Body<Data = Bytes> + Unpin>(&self, body: B) -> Response<FrontBody> {
        request_body::discard(body, self.limits.body_wait).await;
        answers::sentence(StatusCode::UNAUTHORIZED, "mirrors take no pushes: push over SSH")
    }
}

fn no_repository(
    routes: &Routes,
    path: &str,
    is_command: bool,
    parts: &http::request::Parts,
    access: &mut Access,
) -> Response<FrontBody> {
    if !is_command && let Some(below) = routes.below(path) {
        access.kind = Kind::Index;
        return index::answer(path, &below, parts.uri.query().unwrap_or_default(), &parts.headers);
    }
    // Enough of it to recognise one's mistake.
    let path: String = path.chars().take(100).collect();
    let text = format!("there is no repository at {path}");
    answers::not_known_here(answers::sentence(StatusCode::NOT_FOUND, &text))
}

fn body_refused(error: &ReadError) -> Response<FrontBody> {
    let status = match error {
        ReadError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ReadError::Slow(_) => StatusCode::REQUEST_TIMEOUT,
        ReadError::Cut => StatusCode::BAD_REQUEST,
    };
    answers::sentence(status, &error.to_string())
}
