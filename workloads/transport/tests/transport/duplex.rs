//! Messages both ways at once, and what happens when one side reads slowly.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use http::Request;
use minicbor::bytes::ByteVec;
use tokio::sync::oneshot;
use tokio::time::timeout;
use transport::messages::{self, MessageError, MessageReader};
use transport::{Body, Incoming};

use crate::installation::{DEADLINE, Installation};

const MESSAGES: u64 = 10_000;

/// Answers every message with its double, while the request is still open.
fn doubling() -> Router {
    Router::new().route(
        "/double",
        post(|request: Request<Body>| async move {
            let (sender, body) = messages::channel::<u64>();
            tokio::spawn(async move {
                let mut reader = MessageReader::<u64, Body>::new(request.into_body());
                while let Some(number) = reader.next().await.unwrap() {
                    sender.send(&(2 * number)).await.unwrap();
                }
            });
            Body::from(body)
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_both_ways_while_the_request_is_open() {
    let installation = Installation::new();
    let server = installation.serve("ssh-0", doubling()).await;
    let (sender, body) = messages::channel::<u64>();
    let request = Request::post("/double").body(Body::from(body)).unwrap();
    // Nothing is sent before the response is here: headers must come while the request's body is open.
    let client = installation.client("mirror-0");
    let response = timeout(DEADLINE, client.request(&server, request)).await.unwrap().unwrap();
    let mut reader = MessageReader::<u64, Incoming>::new(response.into_body());

    let started = Instant::now();
    sender.send(&21).await.unwrap();
    assert_eq!(timeout(DEADLINE, reader.next()).await.unwrap().unwrap(), Some(42));
    let round_trip = started.elapsed();

    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            sender.send(&number).await.unwrap();
        }
    });
    for number in 0..MESSAGES {
        assert_eq!(timeout(DEADLINE, reader.next()).await.unwrap().unwrap(), Some(2 * number));
    }
    assert_eq!(timeout(DEADLINE, reader.next()).await.unwrap().unwrap(), None);
    sending.await.unwrap();
    println!("round trip {round_trip:?}, {MESSAGES} messages both ways in {:?}", started.elapsed());
}

/// Most that HTTP/2 and the channel may hold for one stream: window, send buffer, channel, one message each side.
const MAX_HELD_BYTES: u64 = 16 * 1024 * 1024;
const MESSAGE_BYTES: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_stops_the_sender_and_loses_nothing() {
    let installation = Installation::new();
    let (go, gone) = oneshot::channel::<()>();
    let (count, counted) = oneshot::channel::<u64>();
    let once = Arc::new(Mutex::new(Some((gone, count))));
    let router = Router::new().route(
        "/slow",
        post(move |request: Request<Body>| {
            let (gone, count) = once.lock().unwrap().take().unwrap();
            tokio::spawn(count_after(gone, request.into_body(), count));
            async {}
        }),
    );
    let server = installation.serve("ssh-0", router).await;
    let (sender, body) = messages::channel::<ByteVec>();
    let request = Request::post("/slow").body(Body::from(body)).unwrap();
    let client = installation.client("mirror-0");
    timeout(DEADLINE, client.request(&server, request)).await.unwrap().unwrap();

    let message = ByteVec::from(vec![7; usize::try_from(MESSAGE_BYTES).unwrap()]);
    let mut sent = 0;
    while timeout(Duration::from_secs(1), sender.send(&message)).await.is_ok_and(|sent| sent.is_ok()) {
        sent += 1;
        assert!(sent * MESSAGE_BYTES < MAX_HELD_BYTES, "the sender was not stopped");
    }
    println!("{} KiB held for a reader that does not read", sent * MESSAGE_BYTES / 1024);
    go.send(()).unwrap();
    for _ in 0..100 {
        timeout(DEADLINE, sender.send(&message)).await.unwrap().unwrap();
        sent += 1;
    }
    drop(sender);
    assert_eq!(timeout(DEADLINE, counted).await.unwrap().unwrap(), sent);
}

async fn count_after(gone: oneshot::Receiver<()>, body: Body, count: oneshot::Sender<u64>) {
    gone.await.unwrap();
    let mut reader = MessageReader::<ByteVec, Body>::new(body);
    let mut seen = 0;
    while reader.next().await.unwrap().is_some() {
        seen += 1;
    }
    count.send(seen).unwrap();
}

#[tokio::test]
async fn a_sender_learns_that_nobody_reads_any_more() {
    let (sender, body) = messages::channel::<u64>();
    drop(body);
    timeout(DEADLINE, sender.closed()).await.unwrap();
    assert!(matches!(sender.send(&1).await, Err(MessageError::Closed)));
}
