//! How commands end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ssh_server::Limits;

use crate::bench::{Bench, DEADLINE, output, programs, take, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_the_programs() {
    let bench = Bench::start().await;
    for (path, code, said) in [("exit-3", 3, ""), ("killed", 255, "before\n"), ("echo", 0, "")] {
        let answer = bench.ask(&format!("hg -R {path} serve --stdio")).await;
        assert_eq!((answer.status.code(), text(&answer.stdout).as_str()), (Some(code), said), "{path}");
        assert_eq!(text(&answer.stderr).contains("it may have been recorded: push again"), code == 255, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_ends_its_program() {
    let bench = Bench::start().await;
    for path in ["endless", "echo"] {
        let mut ssh = bench.ssh("bob");
        ssh.stdin(std::process::Stdio::piped());
        let mut client = ssh.arg(format!("hg -R {path} serve --stdio")).spawn().unwrap();
        bench.until("the program runs", |served| served.running() == 1).await;
        if path == "endless" {
            take(client.stdout.as_mut().unwrap(), 1_000_000).await;
        }
        client.kill().await.unwrap();
        bench.until("the program ends", |served| served.running() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_shutdown_a_running_command_ends_by_itself() {
    let mut bench = Bench::start().await;
    let mut ssh = bench.ssh("bob");
    let mut client = ssh.arg("hg -R large serve --stdio").spawn().unwrap();
    let mut from = client.stdout.take().unwrap();
    take(&mut from, 1_000_000).await;
    bench.shutdown.cancel();
    let refused = async { while output(bench.ssh("bob").arg("id")).await.status.code() != Some(255) {} };
    tokio::time::timeout(DEADLINE, refused).await.unwrap();
    take(&mut from, 199_000_000).await;
    assert_eq!(client.wait().await.unwrap().code(), Some(0));
    tokio::time::timeout(DEADLINE, bench.server.take().unwrap()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_outlasts_the_shutdown_is_cut_off() {
    let limits = Limits { drain: Duration::from_millis(500), ..Limits::default() };
    let mut bench = Bench::with(limits, programs).await;
    let mut client = bench.ssh("bob").arg("hg -R endless serve --stdio").spawn().unwrap();
    take(client.stdout.as_mut().unwrap(), 1_000_000).await;
    bench.shutdown.cancel();
    tokio::time::timeout(DEADLINE, bench.server.take().unwrap()).await.unwrap().unwrap();
    assert_eq!(bench.served.ended.load(Ordering::SeqCst), 1);
    let mut rest = client.stdout.take().unwrap();
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.unwrap();
    assert_eq!(client.wait().await.unwrap().code(), Some(255));
}
