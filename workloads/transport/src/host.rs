//! Host that a request on a loopback address is addressed to. A browser sends the name in its address bar, also when
//! somebody's name server says that it is 127.0.0.1.

use std::net::IpAddr;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};

const REFUSED: &str = "this address is asked as 127.0.0.1, [::1] or localhost only\n";

pub(crate) async fn only_loopback(request: Request, next: Next) -> Response {
    if names_loopback(request.uri(), request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, REFUSED).into_response()
    }
}

/// Every name that it gives, and at least one: HTTP/2 has it in the URI.
fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let hosts = headers.get_all(HOST).iter().map(|host| {
        let authority = Authority::try_from(host.as_bytes());
        authority.is_ok_and(|authority| is_loopback(authority.host()))
    });
    let named: Vec<bool> = uri.host().map(is_loopback).into_iter().chain(hosts).collect();
    !named.is_empty() && named.into_iter().all(|is_loopback| is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_loopback_is_a_name_of_loopback() {
        let asked = |uri: &str, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            names_loopback(&uri.parse().unwrap(), &headers)
        };
        for host in ["127.0.0.1", "127.0.0.1:7001", "[::1]:80", "[::1]", "localhost", "LocalHost:9"] {
            assert!(asked("/metrics", &[host]), "{host}");
        }
        let others =
            ["evil.example", "evil.example:7001", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7"];
        for host in others.into_iter().chain(["", "me@evil.example", "0.0.0.0", "[::1", "127.0.0.1, x"]) {
            assert!(!asked("/metrics", &[host]), "{host}");
        }
        assert!(!asked("/metrics", &[]), "whoever names nobody");
        assert!(!asked("/metrics", &["127.0.0.1", "evil.example"]));
        assert!(asked("http://127.0.0.1:1/", &[]) && asked("http://localhost/", &["localhost"]));
        assert!(!asked("http://evil.example/", &["127.0.0.1"]));
    }
}
