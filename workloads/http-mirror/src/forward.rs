//! A request about a repository: to a worker here, to a peer when this mirror does not have what is asked for.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use mercurial::{Class, WebAnswer, WebError, WebRequest, WebResponse};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use protocol::ChangesetId;
use tokio::time::{Instant, sleep, timeout_at};

use crate::answers;
use crate::body::FrontBody;
use crate::front::Front;
use crate::peers::{Forward, HOP_HEADER, is_end_to_end};
use crate::routes::Route;

/// Other repositories' records wake us too: the worker is asked again no faster than this.
const ASK_AGAIN_MILLISECONDS: u64 = 20;
/// A forwarded request waits only this long: the mirror that sent it has waited already, and may ask others.
const FORWARDED_WAIT: Duration = Duration::from_millis(250);

/// Path characters that stay as they are.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(crate) struct Asked<'a> {
    pub route: &'a Route,
    /// Decoded.
    pub path_info: &'a [u8],
    pub class: Class,
    pub parts: &'a Parts,
    pub body: &'a Bytes,
    pub client: IpAddr,
}

fn is_forwarded(parts: &Parts) -> bool {
    parts.headers.contains_key(HOP_HEADER)
}

pub(crate) async fn answer(front: &Front, asked: &Asked<'_>) -> Response<FrontBody> {
    match worker_answer(front, asked).await {
        Ok(WebAnswer::Response(response)) => from_worker(response),
        Ok(WebAnswer::Unknown(hashes)) => {
            let text = unknown_text(&hashes);
            peer_answer(front, asked.parts, asked.body).await.unwrap_or_else(|| unknown(&text))
        }
        Err(error @ (WebError::Full { .. } | WebError::Busy(_))) => {
            tracing::warn!(%error, class = ?asked.class, "a request was refused");
            answers::try_again("this mirror is overloaded: try again")
        }
        Err(error) => {
            tracing::error!(%error, repository = %asked.route.path, "a request failed");
            answers::try_again("the request failed on this mirror: try again")
        }
    }
}

/// For what this mirror cannot show now, or does not know yet.
pub(crate) async fn elsewhere(front: &Front, parts: &Parts, body: &Bytes, path: &str) -> Response<FrontBody> {
    let text = || format!("this mirror cannot show {path} now, and no other answers: try again");
    peer_answer(front, parts, body).await.unwrap_or_else(|| unknown(&text()))
}

/// Asks the worker, and while it does not know a changeset, again whenever something was applied, for a while. When
/// all that was acknowledged before is here, its answer is the last word.
async fn worker_answer(front: &Front, asked: &Asked<'_>) -> Result<WebAnswer, WebError> {
    let mut request = web_request(front, asked);
    let forwarded = is_forwarded(asked.parts);
    let wait = if forwarded { front.limits.unknown_wait.min(FORWARDED_WAIT) } else { front.limits.unknown_wait };
    let deadline = Instant::now() + wait;
    let mut applied = front.applied.clone();
    // Nothing is asked before the first wait.
    let mut complete = std::pin::pin!(front.completeness.of(asked.route.repository));
    let mut is_open = true;
    loop {
        // Before the question: what is applied while it is answered counts as new.
        applied.mark_unchanged();
        let answer = front.web.request(&request, asked.class).await?;
        if let WebAnswer::Response(_) = answer {
            return Ok(answer);
        }
        tokio::select! {
            is_complete = &mut complete, if is_open => (is_open, request.definite) = (false, is_complete),
            changed = timeout_at(deadline, applied.changed()) => match changed {
                Ok(Ok(())) => sleep(Duration::from_millis(ASK_AGAIN_MILLISECONDS)).await,
                Ok(Err(_)) | Err(_) => return Ok(answer),
            },
        }
    }
}

async fn peer_answer(front: &Front, parts: &Parts, body: &Bytes) -> Option<Response<FrontBody>> {
    if is_forwarded(parts) || front.peers.is_empty() {
        return None;
    }
    let forward = Forward {
        method: &parts.method,
        path_and_query: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        headers: &parts.headers,
        body,
    };
    let response = front.peers.ask(&forward).await;
    front.metrics.forwarded.with_label_values(&[if response.is_some() { "yes" } else { "no" }]).inc();
    let (mut parts, body) = response?.into_parts();
    let connection_headers: Vec<HeaderName> =
        parts.headers.keys().filter(|name| !is_end_to_end(name)).cloned().collect();
    for name in connection_headers {
        parts.headers.remove(name);
    }
    parts.version = http::Version::HTTP_11;
    Some(Response::from_parts(parts, FrontBody::Peer(body)))
}

fn web_request(front: &Front, asked: &Asked<'_>) -> WebRequest {
    let parts = asked.parts;
    let host = parts.headers.get(HOST).map(latin_1);
    let host = host.or_else(|| parts.uri.authority().map(ToString::to_string)).unwrap_or_default();
    // WSGI does not tell `X_HgArg-1` from `X-HgArg-1`.
    let headers = parts.headers.iter().filter(|(name, _)| is_end_to_end(name) && !name.as_str().contains('_'));
    WebRequest {
        directory: asked.route.directory.clone(),
        repository: asked.route.repository,
        path: asked.route.path.clone(),
        method: parts.method.to_string(),
        // Mercurial reads ASCII only. Whatever else there is, is percent-encoded as a client should have done it.
        query: utf8_percent_encode(parts.uri.query().unwrap_or_default(), CONTROLS).to_string(),
        path_info: percent_encode(asked.path_info, PATH).to_string(),
        scheme: front.scheme.as_str(),
        host,
        remote: asked.client.to_string(),
        headers: headers.map(|(name, value)| (name.to_string(), header_value(name, value))).collect(),
        body: asked.body.clone(),
        definite: false,
    }
}

fn latin_1(value: &HeaderValue) -> String {
    value.as_bytes().iter().map(|byte| char::from(*byte)).collect()
}

/// Arguments in headers are a query in pieces, and are ASCII as it is.
fn header_value(name: &HeaderName, value: &HeaderValue) -> String {
    if name.as_str().starts_with("x-hgarg-") {
        return percent_encode(value.as_bytes(), CONTROLS).to_string();
    }
    latin_1(value)
}

fn from_worker(from: WebResponse) -> Response<FrontBody> {
    let mut response = Response::new(FrontBody::Worker(from.body));
    *response.status_mut() = StatusCode::from_u16(from.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if response.status().canonical_reason() != Some(from.reason.as_str())
        && let Ok(reason) = ReasonPhrase::try_from(from.reason.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    for (name, value) in &from.headers {
        // Each character is one byte (Latin-1); a length is believed, because the worker counted what it sends.
        let bytes: Option<Vec<u8>> = value.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Some(Ok(value))) = (name, bytes.map(|bytes| HeaderValue::from_bytes(&bytes))) else { continue };
        if is_end_to_end(&name) || name == http::header::CONTENT_LENGTH {
            response.headers_mut().append(name, value);
        }
    }
    answers::secure(&mut response);
    response
}

fn unknown_text(hashes: &[ChangesetId]) -> String {
    match hashes {
        [one] => format!("changeset {one} is not known here yet: try again"),
        [one, ..] => format!("changeset {one} and {} more are not known here yet: try again", hashes.len() - 1),
        [] => "a changeset is not known here yet: try again".to_owned(),
    }
}

fn unknown(text: &str) -> Response<FrontBody> {
    answers::not_known_here(answers::try_again(text))
}
