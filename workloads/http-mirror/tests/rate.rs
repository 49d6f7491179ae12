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
const SECONDS: u64 = 4;
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
        println!("Mercurial {version}, {CLIENTS} connections: requests/s, workers' CPU ms, front's CPU ms");
        let batch = format!("cmds=heads+%3Bknown+nodes%3D{tip}");
        let requests = [
            ("capabilities", "/a/b?cmd=capabilities".to_owned(), String::new()),
            ("batch", "/a/b?cmd=batch".to_owned(), batch),
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
    run(mirror.address, &text, Duration::from_millis(500)).await;
    let (workers, all) = (workers_ticks(mirror), process_ticks());
    let begun = Instant::now();
    let (requests, clients) = run(mirror.address, &text, Duration::from_secs(SECONDS)).await;
    let seconds = begun.elapsed().as_secs_f64();
    let each = |ticks: f64| ticks / TICKS_PER_SECOND * 1000.0 / requests as f64;
    let (workers, all) = (workers_ticks(mirror) - workers, process_ticks() - all);
    let rate = requests as f64 / seconds;
    println!("{name:16} {rate:8.0} {:8.3} {:8.3}", each(workers), each(all - clients));
}

/// Answers how many requests were made, and the CPU ticks of the clients themselves.
async fn run(address: SocketAddr, text: &str, time: Duration) -> (u64, f64) {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, count, text) = (stop.clone(), count.clone(), text.to_owned());
            std::thread::spawn(move || client(address, &text, &stop, &count))
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let ticks = clients.into_iter().map(|client| client.join().unwrap()).sum();
    (count.load(Ordering::Relaxed), ticks)
}

fn client(address: SocketAddr, text: &str, stop: &AtomicBool, count: &AtomicU64) -> f64 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(text.as_bytes()).unwrap();
        let mut have = 0;
        loop {
            have += stream.read(&mut buffer[have..]).unwrap();
            if is_whole(&buffer[..have]) {
                break;
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..have]));
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
