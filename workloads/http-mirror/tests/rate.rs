//! A measurement, not a test: `cargo test --release -p http-mirror --test rate -- --ignored --nocapture`.
//! `HG_BENCH_BUNDLE` names a bundle to fill the repository with.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "mirror/mod.rs"]
mod mirror;
#[path = "../../mercurial/tests/site/mod.rs"]
mod site;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mercurial::{Bytestring, Operation, PushRequest};
use mirror::Mirror;
use protocol::Offset;
use site::pythons;

const CLIENTS: usize = 4;
/// A worker is replaced after 20,000 requests, and the kernel forgets what it used: a measurement must end before.
const MAX_REQUESTS: u64 = 12_000;
const MAX_SECONDS: u64 = 6;
/// Replaced by 40 digits that no request before had.
const VARYING: &str = "@";
/// Ticks of the clock in /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rate() {
    for python in pythons() {
        let mut mirror = Mirror::start(&python).await;
        let tip = match std::env::var("HG_BENCH_BUNDLE") {
            Ok(bundle) => fill(&mirror, &bundle).await,
            Err(_) => mirror.site.push("one", b"1").await.to_string(),
        };
        let version = mirror.site.mercurial.version();
        println!("Mercurial {version}, {CLIENTS} connections: ");
        println!("request, requests, seconds, requests/s; CPU ms each of workers, front, client; bytes of the body");
        let batch = format!("cmds=heads+%3Bknown+nodes%3D{tip}");
        let requests = [
            ("capabilities", "/a/b?cmd=capabilities".to_owned(), String::new()),
            ("batch", "/a/b?cmd=batch".to_owned(), batch),
            // The worker keeps answers: these ask something else each time.
            ("batch, new", "/a/b?cmd=batch".to_owned(), format!("cmds=heads+%3Bknown+nodes%3D{VARYING}")),
            ("lookup, new", "/a/b?cmd=lookup".to_owned(), format!("key=tip&x={VARYING}")),
            ("capabilities, new", format!("/a/b?cmd=capabilities&x={VARYING}"), String::new()),
            ("no-op getbundle", "/a/b?cmd=getbundle".to_owned(), format!("common={tip}&heads={tip}")),
            ("branchmap", "/a/b?cmd=branchmap".to_owned(), String::new()),
            ("json-log", "/a/b/json-log".to_owned(), String::new()),
            ("json-rev", format!("/a/b/json-rev/{tip}"), String::new()),
        ];
        for (name, path, arguments) in requests {
            measure(&mirror, name, &path, &arguments).await;
        }
    }
}

async fn fill(mirror: &Mirror, bundle: &str) -> String {
    let push = PushRequest {
        push_id: None,
        user: "u".into(),
        time: 1,
        bundle: Some(Bytestring::File(bundle.into())),
        tip: None,
        bookmarks: vec![],
        published: vec![],
        markers: None,
    };
    let state = mirror.site.lane(Operation::Apply { offset: Offset(2), push, hidden: false }).await;
    println!("{} changesets", state.changesets);
    state.tip.unwrap().to_string()
}

async fn measure(mirror: &Mirror, name: &str, path: &str, arguments: &str) {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
    if !arguments.is_empty() {
        text += &format!("X-HgArg-1: {arguments}\r\n");
    }
    text += "\r\n";
    // Workers of their own for each measurement, so that none is near its last request.
    for worker in mirror.children() {
        std::process::Command::new("kill").args(["-9", &worker]).status().unwrap();
    }
    let body =
        mirror::send(mirror.address, one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes(), b"").await;
    run(mirror.address, &text, 400).await;
    let (workers, workers_before, all) = (mirror.children(), workers_ticks(mirror), process_ticks());
    let begun = Instant::now();
    let (requests, clients) = run(mirror.address, &text, MAX_REQUESTS).await;
    let seconds = begun.elapsed().as_secs_f64();
    let (workers_used, all) = (workers_ticks(mirror) - workers_before, process_ticks() - all);
    assert_eq!(mirror.children(), workers, "a worker was replaced: its CPU time is lost");
    let each = |ticks: f64| ticks / TICKS_PER_SECOND * 1000.0 / requests as f64;
    let (rate, length) = (requests as f64 / seconds, body.body.len());
    let (worker, front, client) = (each(workers_used), each(all - clients), each(clients));
    println!("{name:16} {requests:6} {seconds:6.2} {rate:8.0} {worker:8.3} {front:8.3} {client:8.3} {length:8}");
}

/// Answers how many requests were made, and the CPU ticks of the clients themselves.
async fn run(address: SocketAddr, text: &str, requests: u64) -> (u64, f64) {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, count, text) = (stop.clone(), count.clone(), text.to_owned());
            std::thread::spawn(move || client(address, &text, &stop, &count))
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(MAX_SECONDS);
    while count.load(Ordering::Relaxed) < requests && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let ticks = clients.into_iter().map(|client| client.join().unwrap()).sum();
    (count.load(Ordering::Relaxed), ticks)
}

static NEXT: AtomicU64 = AtomicU64::new(1);

fn client(address: SocketAddr, text: &str, stop: &AtomicBool, count: &AtomicU64) -> f64 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    let mut length = None;
    while !stop.load(Ordering::Relaxed) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        stream.write_all(text.replace(VARYING, &format!("{number:040x}")).as_bytes()).unwrap();
        let mut have = 0;
        loop {
            have += stream.read(&mut buffer[have..]).unwrap();
            if is_whole(&buffer[..have]) {
                break;
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..have]));
        assert_eq!(*length.get_or_insert(have), have, "answers differ");
        count.fetch_add(1, Ordering::Relaxed);
    }
    ticks(&std::fs::read_to_string("/proc/thread-self/stat").unwrap())
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    match head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()) {
        Some(length) => answer.len() >= end + 4 + length.parse::<usize>().unwrap(),
        None => answer.ends_with(b"0\r\n\r\n"),
    }
}

fn workers_ticks(mirror: &Mirror) -> f64 {
    let stat = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    mirror.children().iter().map(|pid| ticks(&stat(pid))).sum()
}

fn process_ticks() -> f64 {
    ticks(&std::fs::read_to_string("/proc/self/stat").unwrap())
}

fn ticks(stat: &str) -> f64 {
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0.0 };
    fields.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().unwrap()).sum()
}
