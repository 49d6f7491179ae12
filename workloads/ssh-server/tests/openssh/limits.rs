//! What one client cannot take from the others.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ssh_server::Limits;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::bench::{Bench, DEADLINE, output, programs, run, text};

/// Reads until the server closes the connection.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("closed by the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_log_in_is_cut_off_and_others_wait_for_the_place() {
    let limits = Limits { unauthenticated: 2, handshake: Duration::from_secs(1), ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let address = ("127.0.0.1", bench.port);
    let mut silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    for stream in &mut silent {
        let mut version = [0; 8];
        stream.read_exact(&mut version).await.unwrap();
        assert_eq!(&version, b"SSH-2.0-");
    }
    let begun = Instant::now();
    let said = bench.ask("hg -R echo serve --stdio").await;
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(begun.elapsed() > Duration::from_millis(500), "it did not wait for a place");
    for stream in &mut silent {
        closed(stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_runs_so_many_commands_at_a_time() {
    let limits = Limits { commands_per_user: 1, ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let mut first = bench.ssh("bob").stdin(Stdio::piped()).arg("hg -R echo serve --stdio").spawn().unwrap();
    bench.until("the first command runs", |served| served.running() == 1).await;
    let said = output(bench.ssh("bob").arg("hg -R echo serve --stdio")).await;
    assert_eq!(said.status.code(), Some(1));
    let text = text(&said.stderr);
    assert_eq!(text, "bob runs 1 commands already, which is all that one account may; try again when one has ended\n");
    assert!(bench.ask("hg -R echo serve --stdio").await.status.success());
    drop(first.stdin.take());
    assert!(first.wait().await.unwrap().success());
    assert!(output(bench.ssh("bob").arg("hg -R echo serve --stdio")).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_connections() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let mut first = bench.ssh("bob").stdin(Stdio::piped()).arg("hg -R echo serve --stdio").spawn().unwrap();
    bench.until("the first command runs", |served| served.running() == 1).await;
    closed(&mut TcpStream::connect(("127.0.0.1", bench.port)).await.unwrap()).await;
    assert_eq!(bench.ask("hg -R echo serve --stdio").await.status.code(), Some(255));
    drop(first.stdin.take());
    assert!(first.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_command_is_cut_off_and_one_with_a_command_is_not() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let begun = Instant::now();
    let said = output(bench.ssh("bob").arg("-N")).await;
    assert_eq!(said.status.code(), Some(255));
    assert!(begun.elapsed() < DEADLINE / 2);
    let mut busy = bench.ssh("bob").stdin(Stdio::piped()).arg("hg -R echo serve --stdio").spawn().unwrap();
    bench.until("the command runs", |served| served.running() == 1).await;
    // Longer than the limit: what is tested is that nothing happens.
    let input = busy.stdin.take();
    assert!(tokio::time::timeout(Duration::from_millis(1000), busy.wait()).await.is_err(), "it was cut off");
    drop(input);
    assert!(busy.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_nothing_is_given_up() {
    let limits = Limits { keepalive: Duration::from_millis(200), ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let client = bench.ssh("bob").stdin(Stdio::piped()).arg("hg -R echo serve --stdio").spawn().unwrap();
    bench.until("the program runs", |served| served.running() == 1).await;
    // Stopped, it neither reads nor answers, but its system keeps the connection.
    let pid = client.id().unwrap().to_string();
    run(Command::new("kill").args(["-STOP", &pid])).await;
    bench.until("the program ends", |served| served.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_runs_one_command_at_a_time() {
    let bench = Bench::start().await;
    let path = format!("ControlPath={}", bench.base.path().join("mux").display());
    let shared = |arguments: &[&str]| {
        let mut ssh = bench.ssh("bob");
        ssh.args(["-o", &path]).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        ssh
    };
    let begin = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "hg -R exit-3 serve --stdio"];
    assert_eq!(shared(&begin).status().await.unwrap().code(), Some(3));
    // From here on no other connection can be opened.
    let next = |command| shared(&["-o", "ProxyCommand=false", command]);
    assert_eq!(output(&mut next("hg -R exit-3 serve --stdio")).await.status.code(), Some(3));
    let mut running = next("hg -R echo serve --stdio").stdin(Stdio::piped()).spawn().unwrap();
    bench.until("the command runs", |served| served.running() == 1).await;
    assert_eq!(output(&mut next("hg -R exit-3 serve --stdio")).await.status.code(), Some(255));
    drop(running.stdin.take());
    assert!(running.wait().await.unwrap().success());
    shared(&["-O", "exit"]).status().await.unwrap();
}
