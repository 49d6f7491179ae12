//! Bytes both ways.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench::{Bench, DEADLINE, output, take};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_comes_back_and_ends_with_the_clients_end_of_file() {
    let bench = Bench::start().await;
    let mut ssh = bench.ssh("bob");
    let mut client = ssh.arg("hg -R in-turn serve --stdio").stdin(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let sent: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let sending = tokio::spawn(async move {
        to.write_all(&copy).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    tokio::time::timeout(DEADLINE, from.read_to_end(&mut back)).await.unwrap().unwrap();
    sending.await.unwrap();
    assert!(back == sent, "{} bytes came back", back.len());
    assert_eq!(client.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_nobody_elses_business() {
    let bench = Bench::start().await;
    let command = "hg -R endless serve --stdio";
    let mut stalled = bench.ssh("bob").arg(command).spawn().unwrap();
    let mut unread = stalled.stdout.take().unwrap();
    take(&mut unread, 1_000_000).await;
    let said = output(bench.ssh("bob").arg("hg -R large serve --stdio")).await;
    assert_eq!((said.status.code(), said.stdout.len()), (Some(0), 200_000_000));
    // OpenSSH's window is 2 MiB; the rest is pipes, sockets and a few packets.
    let held = bench.bytes("endless");
    assert!(held < 16 * 1024 * 1024, "{held} bytes were taken for a client that reads none");
    take(&mut unread, 20_000_000).await;
    stalled.kill().await.unwrap();
    bench.until("the endless program ends", |served| served.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_holds_little_of_what_is_sent() {
    let bench = Bench::start().await;
    let mut ssh = bench.ssh("bob");
    let mut client = ssh.arg("hg -R deaf serve --stdio").stdin(Stdio::piped()).spawn().unwrap();
    let mut to = client.stdin.take().unwrap();
    let mut sent = 0_u64;
    let block = vec![0; 1 << 20];
    // Far more than what fits into windows, pipes and sockets would be taken by a server without a bound.
    while let Ok(written) = tokio::time::timeout(std::time::Duration::from_secs(2), to.write(&block)).await {
        sent += written.unwrap() as u64;
        assert!(sent < 64 << 20, "{sent} bytes were taken for a program that reads none");
    }
    assert!(output(bench.ssh("bob").arg("hg -R echo serve --stdio")).await.status.success());
}
