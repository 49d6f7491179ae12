//! Large answers.

use std::convert::Infallible;
use std::time::Instant;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use transport::{Body, ClientError};

use crate::installation::Installation;

const CHUNK_BYTES: usize = 256 * 1024;
const CHUNKS: usize = 1024;

/// 256 MiB, made while they are sent.
async fn large() -> Body {
    let (to, mut from) = mpsc::channel::<usize>(2);
    tokio::spawn(async move {
        for number in 0..CHUNKS {
            if to.send(number).await.is_err() {
                return;
            }
        }
    });
    let chunk = bytes::Bytes::from(vec![b'x'; CHUNK_BYTES]);
    let frames = futures::stream::poll_fn(move |context| {
        let chunk = chunk.clone();
        from.poll_recv(context).map(|number| number.map(|_| Ok::<_, Infallible>(http_body::Frame::data(chunk))))
    });
    Body::new(StreamBody::new(frames))
}

async fn ranged(headers: HeaderMap) -> Response {
    let text = "0123456789";
    let range = headers.get("range").and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        None => text.into_response(),
        Some(from) if from < text.len() => {
            let described = format!("bytes {from}-9/10");
            (StatusCode::PARTIAL_CONTENT, [("content-range", described)], &text[from..]).into_response()
        }
        Some(_) => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_is_fast_and_whole() {
    let installation = Installation::new();
    let server = installation.serve("ssh-0", Router::new().route("/large", get(large))).await;
    let started = Instant::now();
    let mut sink = tokio::io::sink();
    let bytes = installation.client("mirror-0").download(&server, "/large", 0, &mut sink).await.unwrap();
    assert_eq!(bytes, (CHUNKS * CHUNK_BYTES) as u64);
    println!("{:.0} MB/s", bytes as f64 / 1e6 / started.elapsed().as_secs_f64());
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let installation = Installation::new();
    let router = Router::new()
        .route("/ranged", get(ranged))
        .route("/deaf", get(|| async { "0123456789" }))
        .route("/gone", get(|| async { (StatusCode::NOT_FOUND, "no such blob") }));
    let server = installation.serve("ssh-0", router).await;
    let client = installation.client("mirror-0");
    for (from, rest) in [(0, "0123456789"), (4, "456789"), (10, "")] {
        let mut bytes = Vec::new();
        let written = client.download(&server, "/ranged", from, &mut bytes).await.unwrap();
        assert_eq!((written, bytes.as_slice()), (rest.len() as u64, rest.as_bytes()));
    }
    let mut bytes = Vec::new();
    let deaf = client.download(&server, "/deaf", 4, &mut bytes).await;
    assert!(matches!(deaf, Err(ClientError::WrongRange { from: 4, .. })));
    let gone = client.download(&server, "/gone", 0, &mut bytes).await.unwrap_err();
    assert_eq!(gone.status(), Some(StatusCode::NOT_FOUND));
    assert!(bytes.is_empty());
}
