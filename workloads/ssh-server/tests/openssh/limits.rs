//! Limits: what one client cannot take from the others.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ssh_server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
async fn who_does_not_log_in_is_cut_off() {
    let limits = Limits { handshake: Duration::from_secs(1), ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let mut silent = TcpStream::connect(("127.0.0.1", bench.port)).await.unwrap();
    let mut version = [0; 8];
    silent.read_exact(&mut version).await.unwrap();
    assert_eq!(&version, b"SSH-2.0-");
    closed(&mut silent).await;
}

/// Everybody is one address here, which is the worst case: a client's address is not even another than the flood's.
#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_that_do_not_log_in_keep_nobody_out() {
    let bench = Bench::start().await;
    let address = ("127.0.0.1", bench.port);
    let mut flood = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 10 == 0 {
            stream.write_all(b"SSH-2.0-nobody\r\n").await.unwrap();
        }
        flood.push(stream);
    }
    let begun = Instant::now();
    let said = bench.ask("hg -R echo serve --stdio").await;
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(begun.elapsed() < Limits::default().handshake, "it waited until the flood had run out of time");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_logins_of_one_account_give_way_to_its_next_and_keep_no_other_out() {
    let limits = Limits { connections: 4, connections_per_user: 3, ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        // The master says that it is there by its socket.
        let path = bench.base.path().join(format!("idle-{}", idle.len()));
        let mut ssh = bench.ssh("bob");
        ssh.args(["-N", "-M", "-S"]).arg(&path);
        idle.push(ssh.spawn().unwrap());
        bench.until("the login", |_| path.exists()).await;
    }
    for ended in &mut idle[..2] {
        assert_eq!(tokio::time::timeout(DEADLINE, ended.wait()).await.unwrap().unwrap().code(), Some(255));
    }
    for user in ["ann@example.com", "bob", "ann@example.com"] {
        let said = output(bench.ssh(user).arg("hg -R echo serve --stdio")).await;
        assert!(said.status.success(), "{user}: {}", text(&said.stderr));
    }
    assert!(idle[4].try_wait().unwrap().is_none(), "the newest of the account");
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
async fn with_a_command_on_each_connection_the_newest_reads_why_it_cannot_stay() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
    let mut first = bench.ssh("bob").stdin(Stdio::piped()).arg("hg -R echo serve --stdio").spawn().unwrap();
    bench.until("the first command runs", |served| served.running() == 1).await;
    let said = bench.ask("hg -R echo serve --stdio").await;
    assert_eq!(said.status.code(), Some(255));
    let text = text(&said.stderr);
    assert!(text.contains("too many connections run commands; try again when some have ended"), "{text}");
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
async fn a_connection_runs_several_commands_up_to_its_limit() {
    let limits = Limits { sessions_per_connection: 2, ..Limits::default() };
    let bench = Bench::with(limits, programs).await;
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
    assert_eq!(output(&mut next("hg -R exit-3 serve --stdio")).await.status.code(), Some(3), "beside the first");
    let mut second = next("hg -R echo serve --stdio").stdin(Stdio::piped()).spawn().unwrap();
    bench.until("both run", |served| served.running() == 2).await;
    assert_eq!(output(&mut next("hg -R exit-3 serve --stdio")).await.status.code(), Some(255));
    for command in [&mut running, &mut second] {
        drop(command.stdin.take());
        assert!(command.wait().await.unwrap().success());
    }
    shared(&["-O", "exit"]).status().await.unwrap();
}
