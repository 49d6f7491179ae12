//! Bytes that a connection carries.

use balancer::Settings;
use protocol::proxy_line::Ends;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::setting::{DEADLINE, Named, Setting};

const BYTES: usize = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn all_bytes_arrive_both_ways_and_each_way_ends_on_its_own() {
    let setting = Setting::new(Settings::default()).await;
    let a = Named::start("a").await;
    setting.want(&[&a]);
    let (_, mut stream) = setting.ask(1).await;
    let (mut from, mut to) = stream.split();
    let sent: Vec<u8> = (0..BYTES).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let mut received = Vec::new();
    let started = std::time::Instant::now();
    let both = async {
        tokio::join!(
            async {
                to.write_all(&sent).await.unwrap();
                // The echo of the rest comes after this: it must not end the other direction.
                to.shutdown().await.unwrap();
            },
            async { from.read_to_end(&mut received).await.unwrap() }
        )
    };
    timeout(DEADLINE, both).await.unwrap();
    println!("{:.0} MB/s each way", BYTES as f64 / 1e6 / started.elapsed().as_secs_f64());
    assert!(received == sent);
    setting.until_told("a", Some((true, 0))).await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let setting = Setting::new(Settings { max_connections: 2, ..Settings::default() }).await;
    let a = Named::start("a").await;
    setting.want(&[&a]);
    let (_, first) = setting.ask(1).await;
    let (_, _second) = setting.ask(1).await;
    let mut third = TcpStream::connect(setting.balancer).await.unwrap();
    setting.until_told("a", Some((true, 2))).await;
    assert!(timeout(std::time::Duration::from_millis(300), third.read_u8()).await.is_err());
    drop(first);
    assert_eq!(timeout(DEADLINE, third.read_u8()).await.unwrap().unwrap(), b'a');
}

#[tokio::test]
async fn an_endpoint_is_told_whose_a_connection_is_before_anything_else() {
    let setting = Setting::new(Settings { tell_client: true, ..Settings::default() }).await;
    let a = Named::start("a").await;
    setting.want(&[&a]);
    let (_, mut stream) = setting.ask(9).await;
    stream.write_all(b"after it").await.unwrap();
    let line = protocol::proxy_line::line(Ends { client: stream.local_addr().unwrap(), server: setting.balancer });
    let mut echoed = vec![0; line.len() + 8];
    timeout(DEADLINE, stream.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(echoed).unwrap(), format!("{line}after it"));
    assert!(line.starts_with("PROXY TCP4 127.0.0.9 127.0.0.1 "), "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_is_no_longer_counted() {
    let setting = Setting::new(Settings::default()).await;
    let a = Named::start("a").await;
    setting.want(&[&a]);
    let (_, open) = setting.ask(1).await;
    setting.until_told("a", Some((true, 1))).await;
    drop(open);
    setting.until_told("a", Some((true, 0))).await;
    setting.shutdown.cancel();
    crate::setting::until("the balancer to stop", async || TcpStream::connect(setting.balancer).await.is_err()).await;
}
