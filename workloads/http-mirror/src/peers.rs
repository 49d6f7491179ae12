//! Other mirrors, asked for what this one does not have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::answers::UNKNOWN_HEADER;

/// Says that a mirror forwarded this request: whoever gets it forwards it no further.
pub const HOP_HEADER: HeaderName = HeaderName::from_static("x-hg-operator-hop");
const MAX_PEERS_ASKED: usize = 3;
const CONNECT_SECONDS: u64 = 1;
/// A peer's answer begins within this time, or another is asked.
const ANSWER_SECONDS: u64 = 30;
const KEEPALIVE_SECONDS: u64 = 15;
const IDLE_CONNECTIONS_PER_PEER: usize = 4;

#[derive(Clone)]
pub struct Peers {
    /// Public addresses (`http://host:port`) of the other mirrors, best first.
    urls: watch::Receiver<Arc<Vec<Uri>>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Forward of a request to a peer: what is repeated there.
pub(crate) struct Forward<'a> {
    pub method: &'a Method,
    pub path_and_query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
}

impl Peers {
    pub fn new(urls: watch::Receiver<Arc<Vec<Uri>>>) -> Peers {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(CONNECT_SECONDS)));
        // A peer that vanishes in the middle of an answer is found by the kernel.
        connector.set_keepalive(Some(Duration::from_secs(KEEPALIVE_SECONDS)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_PEER)
            .build(connector);
        Peers { urls, client }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.urls.borrow().is_empty()
    }

    /// The first answer of a peer that has what is asked for.
    pub(crate) async fn ask(&self, forward: &Forward<'_>) -> Option<Response<Incoming>> {
        let urls = self.urls.borrow().clone();
        for url in urls.iter().take(MAX_PEERS_ASKED) {
            let Some(request) = forward.request(url) else {
                tracing::warn!(%url, "a peer's address is not http://host:port");
                continue;
            };
            match timeout(Duration::from_secs(ANSWER_SECONDS), self.client.request(request)).await {
                Ok(Ok(response)) if !is_unknown(&response) => return Some(response),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::info!(%url, %error, "a peer did not answer"),
                Err(_) => tracing::info!(%url, "a peer did not answer within {ANSWER_SECONDS} seconds"),
            }
        }
        None
    }
}

/// A page that is really missing (404 without our mark) is an answer.
fn is_unknown(response: &Response<Incoming>) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE || response.headers().contains_key(UNKNOWN_HEADER)
}

impl Forward<'_> {
    fn request(&self, url: &Uri) -> Option<Request<Full<Bytes>>> {
        let mut parts = url.clone().into_parts();
        parts.scheme.as_ref().filter(|scheme| *scheme == &http::uri::Scheme::HTTP)?;
        parts.path_and_query = Some(self.path_and_query.parse().ok()?);
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        let headers = request.headers_mut();
        for (name, value) in self.headers.iter().filter(|(name, _)| is_end_to_end(name) && *name != HOST) {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(HOP_HEADER, HeaderValue::from_static("1"));
        Some(request)
    }
}

/// Headers that are about a request or an answer, not about one connection (RFC 9110, 7.6.1) or its length, which each
/// connection finds for itself.
pub(crate) fn is_end_to_end(name: &HeaderName) -> bool {
    !matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "expect"
            | "keep-alive"
            | "proxy"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}
