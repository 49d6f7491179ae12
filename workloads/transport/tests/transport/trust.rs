//! Trust: who may speak with whom.

use std::sync::Arc;

use axum::routing::{delete, get, post, put};
use axum::{Extension, Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use transport::{CancellationToken, ClientError, Peer, Target};

use crate::installation::{DEADLINE, Installation};

fn who() -> Router {
    Router::new().route("/who", get(|Extension(Peer(name)): Extension<Peer>| async move { Json(name.to_string()) }))
}

#[tokio::test]
async fn a_server_knows_its_peer_by_certificate() {
    let installation = Installation::new();
    let server = installation.serve("ssh-0", who()).await;
    for name in ["mirror-0", "balancer"] {
        let client = installation.client(name);
        assert_eq!(client.get_json::<String>(&server, "/who").await.unwrap(), name);
    }
}

/// In a pod an instance is found by a DNS name, which leads to another address after each restart.
#[tokio::test]
async fn a_peer_is_found_by_a_name_and_known_by_another() {
    let installation = Installation::new();
    let served = installation.serve("ssh-0", who()).await;
    let (_, port) = served.address.rsplit_once(':').unwrap();
    let client = installation.client("mirror-0");
    let named = Target::new("ssh-0".parse().unwrap(), format!("localhost:{port}"));
    assert_eq!(client.get_json::<String>(&named, "/who").await.unwrap(), "mirror-0");
    let nowhere = Target::new("ssh-0".parse().unwrap(), format!("no-such-host.invalid:{port}"));
    let error = client.get_json::<String>(&nowhere, "/who").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn another_authority_is_refused_by_both_sides() {
    let (ours, theirs) = (Installation::new(), Installation::new());
    let server = ours.serve("ssh-0", who()).await;
    let error = theirs.client("mirror-0").get_json::<String>(&server, "/who").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");

    // Their client trusts our authority here, so it is our server that refuses it.
    std::fs::copy(ours.path().join("ca/ca.pem"), theirs.path().join("mirror-0/ca.pem")).unwrap();
    let identity = transport::Identity::open(&theirs.path().join("mirror-0")).unwrap();
    let error = transport::Client::new(identity).get_json::<String>(&server, "/who").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. } | ClientError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_instance_is_refused() {
    let installation = Installation::new();
    let server = installation.serve("ssh-0", who()).await;
    let wrong = Target::new("ssh-1".parse().unwrap(), server.address);
    let error = installation.client("mirror-0").get_json::<String>(&wrong, "/who").await.unwrap_err();
    assert!(error.was_never_sent(), "{error}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let installation = Installation::new();
    let server = installation.serve("ssh-0", who()).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(installation.path().join("ca/ca.pem")).unwrap();
    roots.add(rustls_pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(&server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("ssh-0".try_into().unwrap(), stream).await.unwrap();
    let _may_fail = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let mut answer = Vec::new();
    let error = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn json_requests_carry_values_and_refusals() {
    let installation = Installation::new();
    let echo = |Json(value): Json<Value>| async move { Json(value) };
    let refusal = || async { (StatusCode::CONFLICT, "there is one already\n") };
    let router = Router::new()
        .route("/echo", post(echo).put(echo))
        .route("/nothing", delete(|| async { StatusCode::NO_CONTENT }))
        .route("/refused", put(refusal));
    let server = installation.serve("ssh-0", router).await;
    let client = installation.client("mirror-0");
    let value = json!({"a": [1, 2]});
    assert_eq!(client.post_json::<Value>(&server, "/echo", &value).await.unwrap(), value);
    assert_eq!(client.put_json::<Value>(&server, "/echo?x=1", &value).await.unwrap(), value);
    client.delete(&server, "/nothing").await.unwrap();
    let error = client.put_json::<()>(&server, "/refused", &value).await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::CONFLICT));
    assert!(error.to_string().ends_with("there is one already"), "{error}");
    assert!(matches!(client.get_json::<Value>(&server, "no path").await, Err(ClientError::Path { .. })));
}

#[tokio::test]
async fn plain_pages_answer_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let router = Router::new().route("/healthz", get(|| async { "ok" }));
    let served = tokio::spawn(transport::serve_plain(listener, router, shutdown.clone()));
    let ask = async |host: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    let answer = ask(&address.to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"), "{answer}");
    let answer = ask("pages.example.com").await;
    assert!(answer.starts_with("HTTP/1.1 421 ") && !answer.ends_with("ok"), "{answer}");
    shutdown.cancel();
    timeout(DEADLINE, served).await.unwrap().unwrap();
}
