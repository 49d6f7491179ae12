//! Answers that the front gives itself: one readable sentence, for browsers and hg alike.

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::body::FrontBody;

const NO_CONTENT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// facts/hgmo.md, L3. hgweb's own pages need inline scripts (dates, graphs) and styles.
const PAGES: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self' 'unsafe-inline'; \
     style-src 'self' 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
);
/// Files of a repository may be HTML: they must not run in our name.
const FILES: HeaderValue =
    HeaderValue::from_static("default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox");
const NOSNIFF: (HeaderName, HeaderValue) = (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
/// Set on answers that mean "not known here": whoever forwarded the request asks somebody else.
pub(crate) const UNKNOWN_HEADER: HeaderName = HeaderName::from_static("x-hg-operator-unknown");
const MAX_REASON_BYTES: usize = 200;
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// `sentence` is also the reason phrase, because that is what hg shows: `abort: HTTP Error 503: <reason>`.
pub(crate) fn sentence(status: StatusCode, sentence: &str) -> Response<FrontBody> {
    let mut response = page(status, "text/plain; charset=utf-8", format!("{sentence}\n"));
    if sentence.len() <= MAX_REASON_BYTES
        && sentence.is_ascii()
        && let Ok(reason) = ReasonPhrase::try_from(sentence.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    response
}

/// For what will be better soon.
pub(crate) fn try_again(text: &str) -> Response<FrontBody> {
    let mut response = sentence(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

pub(crate) fn not_known_here(mut response: Response<FrontBody>) -> Response<FrontBody> {
    response.headers_mut().insert(UNKNOWN_HEADER, HeaderValue::from_static("1"));
    response
}

/// A page of our own: nothing in it may load or run anything.
pub(crate) fn page(status: StatusCode, content_type: &'static str, text: String) -> Response<FrontBody> {
    let mut response = Response::new(FrontBody::whole(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_SECURITY_POLICY, NO_CONTENT);
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    response
}

/// What hgweb's answers get in addition.
pub(crate) fn secure(headers: &mut HeaderMap, path_info: &str) {
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    if headers.contains_key(CONTENT_SECURITY_POLICY) {
        return;
    }
    if path_info.starts_with("/raw-") {
        headers.insert(CONTENT_SECURITY_POLICY, FILES);
    } else if headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html")) {
        headers.insert(CONTENT_SECURITY_POLICY, PAGES);
    }
}
