//! Front, and how one request goes through it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use mercurial::{Class, Permission, Room, RoomBounds, WebPool};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;

use crate::access::{Access, AccessBody};
use crate::answers;
use crate::body::FrontBody;
use crate::completeness::Completeness;
use crate::forward::{self, Asked};
use crate::index;
use crate::metrics::{FrontMetrics, Kind};
use crate::peers::Peers;
use crate::readiness::Readiness;
use crate::request_body::{self, ReadError};
use crate::routes::Routes;
use crate::wire::{self, Malformed};

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
    /// Header bytes of one request together, and of what is kept for one slow reader.
    pub header_bytes: usize,
    pub body_bytes: usize,
    /// For a request's header, also when it is the next one on a connection.
    pub header_wait: Duration,
    /// For a request's body, beside a second for each 16 KiB of it.
    pub body_wait: Duration,
    /// How long a client may keep us waiting with its answer, before it must have taken a KiB for each second.
    pub write_wait: Duration,
    /// Answers on an older connection say that they are its last.
    pub last_answer_age: Duration,
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
            header_bytes: 256 * 1024,
            body_bytes: 16 * 1024 * 1024,
            header_wait: Duration::from_secs(30),
            body_wait: Duration::from_secs(30),
            write_wait: Duration::from_secs(60),
            last_answer_age: Duration::from_secs(15),
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
    /// A balancer on this machine says whose a connection is.
    pub behind_balancer: bool,
    bodies: Room,
    pub(crate) heads: Room,
}

/// Bodies of requests in memory: two of the longest of one client.
const BODIES: RoomBounds = RoomBounds { client_bytes: 32 * 1024 * 1024, all_bytes: 128 * 1024 * 1024 };
/// Heads that are longer than usual ones.
const HEADS: RoomBounds = RoomBounds { client_bytes: 16 * 1024 * 1024, all_bytes: 64 * 1024 * 1024 };

impl Front {
    pub fn new(
        routes: watch::Receiver<Arc<Routes>>,
        applied: watch::Receiver<u64>,
        readiness: watch::Receiver<Readiness>,
        peers: Peers,
        web: WebPool,
        metrics: FrontMetrics,
    ) -> Front {
        let (bodies, heads) = (Room::new("request bodies", BODIES), Room::new("headers", HEADS));
        let (limits, scheme, completeness) = (Limits::default(), Scheme::Http, Completeness::default());
        Front {
            routes,
            applied,
            readiness,
            peers,
            web,
            metrics,
            limits,
            scheme,
            completeness,
            behind_balancer: false,
            bodies,
            heads,
        }
    }

    /// One request, from its header to the beginning of its answer.
    pub(crate) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        client: SocketAddr,
        connected: Instant,
    ) -> Response<AccessBody>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let is_http_1 = request.version() <= Version::HTTP_11;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut access = Access::new(self.clone(), client.ip(), request.method().clone(), path);
        let mut response = self.route(request, client.ip(), &mut access).await;
        // A client that holds its connection would otherwise stay with an instance that has left the Service, or lose
        // a request when the connection ends at its age. What is heavy may end only then.
        let is_old = connected.elapsed() >= self.limits.last_answer_age;
        if is_http_1 && (is_old || access.kind.is_heavy() || !self.readiness.borrow().is_ready()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        access.follow(response)
    }

    async fn route<B>(&self, request: Request<B>, client: IpAddr, access: &mut Access) -> Response<FrontBody>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let command = match wire::check_headers(&parts.headers).and_then(|()| wire::command(query)) {
            Ok(command) => command.map(std::borrow::Cow::into_owned),
            Err(error) => return malformed(&error),
        };
        access.command.clone_from(&command);
        if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
            return answers::sentence(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST are understood here");
        }
        let commands = self.web.commands();
        let permission = command.as_deref().and_then(|command| commands.permission(command));
        if permission == Some(Permission::Push) {
            return self.refuse_push(body).await;
        }
        let path: Vec<u8> = percent_decode_str(parts.uri.path()).collect();
        let routes = self.routes.borrow().clone();
        let found = routes.find(&path);
        // As long as this mirror catches up, nothing is known not to exist.
        if found.is_none() && self.readiness.borrow().is_ready() {
            return no_repository(&routes, &path, command.is_some(), &parts, access);
        }
        access.repository = found.map(|(route, _)| route.path.to_string());
        let limits = &self.limits;
        let place = self.bodies.enter(&client.to_string());
        let body = match request_body::read(body, limits.body_bytes, limits.body_wait, &place).await {
            Ok(body) => body,
            Err(error) => return body_refused(&error),
        };
        access.kind = Kind::of(permission.is_some(), Class::Light);
        let Some((route, path_info)) = found.filter(|(route, _)| !route.away) else {
            return forward::elsewhere(self, &parts, &body, &shown(&path)).await;
        };
        let class = wire::runs(query, path_info, &commands);
        let class = match class.and_then(|runs| wire::class(&runs, query, &parts.headers, &body)) {
            Ok(class) => class,
            Err(error) => return malformed(&error),
        };
        access.kind = Kind::of(permission.is_some(), class);
        let asked = Asked { route, path_info, class, parts: &parts, body: &body, client };
        let given_up = place.given_up();
        tokio::select! {
            response = forward::answer(self, &asked) => response,
            () = given_up.cancelled() => body_refused(&ReadError::Full),
        }
    }

    /// hg prints `abort: authorization failed` for this status, as with the reference (facts/hgmo.md, A19).
    async fn refuse_push<B: http_body::Body<Data = Bytes> + Unpin>(&self, body: B) -> Response<FrontBody> {
        request_body::discard(body, self.limits.body_wait).await;
        answers::sentence(StatusCode::UNAUTHORIZED, "mirrors take no pushes: push over SSH")
    }
}

fn no_repository(
    routes: &Routes,
    path: &[u8],
    is_command: bool,
    parts: &http::request::Parts,
    access: &mut Access,
) -> Response<FrontBody> {
    let path = &*String::from_utf8_lossy(path);
    let directory = index::directory(path);
    if !is_command && let Some(below) = routes.below(directory) {
        access.kind = Kind::Index;
        return index::answer(directory, &below, parts.uri.query().unwrap_or_default(), &parts.headers);
    }
    let text = format!("there is no repository at {}", shown(path.as_bytes()));
    answers::not_known_here(answers::sentence(StatusCode::NOT_FOUND, &text))
}

/// Enough of it to recognise one's mistake.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(100).collect()
}

fn malformed(error: &Malformed) -> Response<FrontBody> {
    answers::sentence(StatusCode::BAD_REQUEST, &error.to_string())
}

fn body_refused(error: &ReadError) -> Response<FrontBody> {
    let status = match error {
        ReadError::Full => return answers::try_again(&error.to_string()),
        ReadError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ReadError::Slow(_) => StatusCode::REQUEST_TIMEOUT,
        ReadError::Cut => StatusCode::BAD_REQUEST,
    };
    answers::sentence(status, &error.to_string())
}
