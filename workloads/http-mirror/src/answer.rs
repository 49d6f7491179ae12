//! Way of one request: admitted, routed, answered.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use mercurial::{Class, Permission, Place};

use crate::access::{Access, AccessBody};
use crate::admit::{Head, Refused};
use crate::answers;
use crate::body::FrontBody;
use crate::forward::{self, Asked};
use crate::front::Front;
use crate::index;
use crate::metrics::Kind;
use crate::places::Busy;
use crate::request_body::{self, ReadError};
use crate::route::{self, Answerer, Own};
use crate::routes::Route;
use crate::wire::{self, Malformed};

/// Connection that a request came on.
pub(crate) struct From {
    pub client: IpAddr,
    pub connected: Instant,
    pub busy: Busy,
}

/// Answers one request, from its header to the beginning of its answer.
pub(crate) async fn answer<B>(front: Arc<Front>, request: Request<B>, from: From) -> Response<AccessBody>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let is_http_1 = request.version() <= Version::HTTP_11;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let From { client, connected, busy } = from;
    let mut access = Access::new(front.metrics.clone(), client, request.method().clone(), path);
    access.busy = Some(busy);
    let mut response = go(&front, request, client, &mut access).await;
    // A client that holds its connection would otherwise stay with an instance that has left the Service, or lose
    // a request when the connection ends at its age. What is heavy may end only then.
    let is_old = connected.elapsed() >= front.limits.last_answer_age;
    if is_http_1 && (is_old || access.kind.is_heavy() || !*front.ready.borrow()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    access.follow(response)
}

async fn go<B>(front: &Front, request: Request<B>, client: IpAddr, access: &mut Access) -> Response<FrontBody>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (parts, body) = request.into_parts();
    let head = match Head::read(&parts) {
        Ok(head) => head,
        Err(error) => return malformed(&error),
    };
    access.command.clone_from(&head.command);
    let permission = match head.admit(&parts.method, &front.web.commands()) {
        Ok(permission) => permission,
        Err(Refused::Method) => return only_reads(),
        Err(Refused::Push) => return refuse_push(front, body).await,
    };
    let routes = front.routes.borrow().clone();
    let (route, path_info) = match route::route(&routes, &head, *front.ready.borrow()) {
        Answerer::Own(page) => {
            access.kind = Kind::Own;
            return own(&page, *front.ready.borrow());
        }
        Answerer::Nobody => return no_repository(&head.path),
        Answerer::Index { directory, below } => {
            access.kind = Kind::Index;
            return index::answer(&directory, &below, parts.uri.query().unwrap_or_default(), &parts.headers);
        }
        Answerer::Peer(route) => (route, None),
        Answerer::Worker { route, path_info } => (Some(route), Some(path_info)),
    };
    access.repository = route.map(|route| route.path.to_string());
    let place = front.bodies.enter(&client.to_string());
    let limits = &front.limits;
    let body = match request_body::read(body, limits.body_bytes, limits.body_wait, &place).await {
        Ok(body) => body,
        Err(error) => return body_refused(&error),
    };
    access.kind = Kind::of(permission.is_some(), Class::Light);
    let (Some(route), Some(path_info)) = (route, path_info) else {
        return forward::elsewhere(front, &parts, &body, &shown(&head.path)).await;
    };
    work(front, Work { route, path_info, permission, parts: &parts, body: &body, client, place: &place }, access).await
}

/// Work for one of Mercurial's processes.
struct Work<'a> {
    route: &'a Route,
    path_info: &'a [u8],
    permission: Option<Permission>,
    parts: &'a Parts,
    body: &'a Bytes,
    client: IpAddr,
    place: &'a Place,
}

async fn work(front: &Front, work: Work<'_>, access: &mut Access) -> Response<FrontBody> {
    let Work { route, path_info, permission, parts, body, client, place } = work;
    let query = parts.uri.query().unwrap_or_default();
    let runs = wire::runs(query, path_info, &front.web.commands());
    let class = match runs.and_then(|runs| wire::class(&runs, query, &parts.headers, body)) {
        Ok(class) => class,
        Err(error) => return malformed(&error),
    };
    access.kind = Kind::of(permission.is_some(), class);
    let asked = Asked { route, path_info, class, parts, body, client };
    let given_up = place.given_up();
    tokio::select! {
        response = forward::answer(front, &asked) => response,
        () = given_up.cancelled() => body_refused(&ReadError::Full),
    }
}

fn only_reads() -> Response<FrontBody> {
    answers::sentence(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST are understood here")
}

/// hg prints `abort: authorization failed` for this status, as with the reference (facts/hgmo.md, A19).
async fn refuse_push<B: http_body::Body<Data = Bytes> + Unpin>(front: &Front, body: B) -> Response<FrontBody> {
    request_body::discard(body, front.limits.body_wait).await;
    answers::sentence(StatusCode::UNAUTHORIZED, "mirrors take no pushes: push over SSH")
}

fn own(page: &Own, is_ready: bool) -> Response<FrontBody> {
    match page {
        Own::Alive => answers::sentence(StatusCode::OK, "alive"),
        Own::Ready if is_ready => answers::sentence(StatusCode::OK, "ready"),
        Own::Ready => answers::try_again("this mirror catches up or stops: it should be sent nobody"),
        Own::Unknown(name) => {
            let text = format!("this server has no page of its own at /-/{}", shown(name.as_bytes()));
            answers::sentence(StatusCode::NOT_FOUND, &text)
        }
    }
}

fn no_repository(path: &[u8]) -> Response<FrontBody> {
    let text = format!("there is no repository at {}", shown(path));
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
