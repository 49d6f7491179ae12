//! Answers that the front gives itself: one readable sentence, for browsers and hg alike.

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::body::FrontBody;

const NO_CONTENT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Files: what has no policy of its own may be a file of a repository. It must not run in our name.
const FILES: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
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

/// Secures hgweb's answers. The worker knows how an answer was made and gives it its policy; `not modified` leaves the
/// policy of the answer that the client has.
pub(crate) fn secure(response: &mut Response<FrontBody>) {
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    if status != StatusCode::NOT_MODIFIED {
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(FILES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_policy_gets_the_sandbox_whatever_it_is() {
        for (status, own, expected) in [
            (StatusCode::OK, None, Some("default-src 'none'; frame-ancestors 'none'; sandbox")),
            (StatusCode::NOT_FOUND, None, Some("default-src 'none'; frame-ancestors 'none'; sandbox")),
            (StatusCode::OK, Some("default-src 'self'"), Some("default-src 'self'")),
            (StatusCode::NOT_MODIFIED, None, None),
        ] {
            let mut response = Response::new(FrontBody::whole(Bytes::new()));
            *response.status_mut() = status;
            if let Some(policy) = own {
                response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
            }
            secure(&mut response);
            let policy = response.headers().get(CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok());
            assert_eq!(policy, expected, "{status} {own:?}");
            assert_eq!(response.headers()[NOSNIFF.0], "nosniff");
        }
    }
}
