//! Peers that fall silent, restart or drain.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use http::Request;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use transport::messages::{self, MessageError, MessageReader, MessageSender};
use transport::{Body, CancellationToken, Client, Incoming, Target};

use crate::installation::{DEADLINE, Installation};

/// Three seconds, and some for a busy machine.
const NOTICED: Duration = Duration::from_secs(6);

/// A network between a client and `to` that carries bytes until `cut`, and then nothing, with both connections open.
async fn network(to: Target, cut: CancellationToken) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let name = to.name.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(&to.address).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = cut.cancelled() => held.push((near, far)),
            }
        }
    });
    Target::new(name, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_notice_within_seconds_that_the_other_is_silent() {
    let installation = Installation::new();
    let (noticed, server_noticed) = oneshot::channel();
    let noticed = Arc::new(Mutex::new(Some(noticed)));
    let follow = post(move |request: Request<Body>| {
        let noticed = noticed.lock().unwrap().take().unwrap();
        let (sender, body) = messages::channel::<u64>();
        tokio::spawn(async move {
            let mut reader = MessageReader::<u64, Body>::new(request.into_body());
            sender.send(&reader.next().await.unwrap().unwrap()).await.unwrap();
            let error = reader.next().await.expect_err("silence was taken for the end");
            sender.closed().await;
            noticed.send(error).unwrap();
        });
        async { Body::from(body) }
    });
    let server = installation.serve("ssh-0", Router::new().route("/follow", follow)).await;
    let cut = CancellationToken::new();
    let server = network(server, cut.clone()).await;
    let (sender, mut reader) = open(&installation.client("mirror-0"), &server).await;
    sender.send(&1).await.unwrap();
    assert_eq!(timeout(DEADLINE, reader.next()).await.unwrap().unwrap(), Some(1));

    let started = Instant::now();
    cut.cancel();
    let error = timeout(NOTICED, reader.next()).await.expect("the client did not notice").unwrap_err();
    println!("client: {error} after {:?}", started.elapsed());
    assert!(matches!(error, MessageError::Broken(_)));
    timeout(NOTICED, sender.closed()).await.expect("the client's sender did not notice");
    let error = timeout(NOTICED, server_noticed).await.expect("the server did not notice").unwrap();
    assert!(matches!(error, MessageError::Broken(_)), "{error}");
}

async fn open(client: &Client, to: &Target) -> (MessageSender<u64>, MessageReader<u64, Incoming>) {
    let (sender, body) = messages::channel::<u64>();
    let request = Request::post("/follow").body(Body::from(body)).unwrap();
    let response = timeout(DEADLINE, client.request(to, request)).await.unwrap().unwrap();
    (sender, MessageReader::new(response.into_body()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_a_pooled_connection_that_fell_silent_fails_within_seconds() {
    let installation = Installation::new();
    let server = installation.serve("ssh-0", Router::new().route("/", get(|| async { "1" }))).await;
    let client = installation.client("mirror-0");
    let cut = CancellationToken::new();
    let through = network(server, cut.clone()).await;
    assert_eq!(client.get_json::<u64>(&through, "/").await.unwrap(), 1);
    cut.cancel();
    let refused = timeout(NOTICED, client.get_json::<u64>(&through, "/")).await;
    assert!(refused.expect("the pooled connection was not given up").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_is_connected_to_again() {
    let installation = Installation::new();
    let router = Router::new().route("/", get(|| async { "1" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = installation.client("mirror-0");
    let server = Target::new("ssh-0".parse().unwrap(), address.to_string());
    let mut listener = Some(listener);
    for _ in 0..5 {
        let shutdown = CancellationToken::new();
        let listener = match listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await.unwrap(),
        };
        let identity = installation.identity("ssh-0");
        let served = tokio::spawn(transport::serve(listener, identity, router.clone(), shutdown.clone()));
        assert_eq!(client.get_json::<u64>(&server, "/").await.unwrap(), 1);
        shutdown.cancel();
        timeout(DEADLINE, served).await.unwrap().unwrap();
    }
    let error = client.get_json::<u64>(&server, "/").await.unwrap_err();
    assert!(error.was_never_sent(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_ends_before_the_server_does() {
    let installation = Installation::new();
    let (finish, finished) = oneshot::channel::<()>();
    let (arrived, arrives) = oneshot::channel::<()>();
    let once = Arc::new(Mutex::new(Some((arrived, finished))));
    let slow = get(move || {
        let (arrived, finished) = once.lock().unwrap().take().unwrap();
        async move {
            arrived.send(()).unwrap();
            finished.await.unwrap();
            "7"
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Target::new("ssh-0".parse().unwrap(), listener.local_addr().unwrap().to_string());
    let (identity, shutdown) = (installation.identity("ssh-0"), CancellationToken::new());
    let router = Router::new().route("/slow", slow);
    let served = tokio::spawn(transport::serve(listener, identity, router, shutdown.clone()));
    let client = installation.client("mirror-0");
    let asked = {
        let (client, server) = (client.clone(), server.clone());
        tokio::spawn(async move { client.get_json::<u64>(&server, "/slow").await })
    };
    timeout(DEADLINE, arrives).await.unwrap().unwrap();
    shutdown.cancel();
    let refused = timeout(DEADLINE, async {
        while TcpStream::connect(&server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    refused.await.expect("new connections are still accepted");
    finish.send(()).unwrap();
    assert_eq!(asked.await.unwrap().unwrap(), 7);
    timeout(DEADLINE, served).await.unwrap().unwrap();
}
