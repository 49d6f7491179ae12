//! One mirror's front over a real Mercurial, and an HTTP client that can do what good clients do not.

#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_mirror::{Completeness, Front, FrontMetrics, Limits, Peers, Route, Routes, serve};
use mercurial::{Role, WebOptions, WebPool};
use protocol::CreationId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::site::Site;

pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Mirror {
    pub site: Site,
    pub address: SocketAddr,
    pub web: WebPool,
    pub applied: watch::Sender<u64>,
    /// Whether the front hears that all which was acknowledged is here.
    pub complete: watch::Sender<bool>,
    pub ready: watch::Sender<bool>,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<()>,
    routes: watch::Sender<Arc<Routes>>,
    peers: watch::Sender<Arc<Vec<http::Uri>>>,
    registry: prometheus::Registry,
}

impl Mirror {
    pub async fn start(python: &Path) -> Mirror {
        Mirror::start_with(python, Limits::default(), WebOptions { light: 2, heavy: 2, ..Default::default() }).await
    }

    pub async fn start_with(python: &Path, limits: Limits, web: WebOptions) -> Mirror {
        Mirror::begin(python, limits, web, true).await
    }

    /// Nobody tells it whose a connection is.
    pub async fn without_balancer(python: &Path) -> Mirror {
        Mirror::begin(python, Limits::default(), WebOptions { light: 2, heavy: 2, ..Default::default() }, false).await
    }

    async fn begin(python: &Path, limits: Limits, web: WebOptions, behind_balancer: bool) -> Mirror {
        let site = Site::start(python, Role::Mirror).await;
        let web = WebPool::new(site.mercurial.clone(), web);
        let (routes, watched_routes) = watch::channel(Arc::new(route(&site, false)));
        let (applied, watched_applied) = watch::channel(0);
        let (ready, is_ready) = watch::channel(true);
        let (peers, watched_peers) = watch::channel(Arc::default());
        let registry = prometheus::Registry::new();
        let metrics = FrontMetrics::new(&registry, web.clone()).unwrap();
        let mut front =
            Front::new(watched_routes, watched_applied, is_ready, Peers::new(watched_peers), web.clone(), metrics);
        front.limits = limits;
        let (completeness, mut questions) = Completeness::channel();
        front.completeness = completeness;
        front.behind_balancer = behind_balancer;
        let (complete, is_complete) = watch::channel(false);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                if *is_complete.borrow() {
                    question.answer.send(()).unwrap();
                }
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, front, shutdown.clone()));
        Mirror { site, address, web, applied, complete, ready, shutdown, served, routes, peers, registry }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn send_away(&self, away: bool) {
        self.routes.send_replace(Arc::new(route(&self.site, away)));
    }

    pub fn ask_at(&self, peers: &[SocketAddr]) {
        let urls = peers.iter().map(|address| format!("http://{address}").parse().unwrap()).collect();
        self.peers.send_replace(Arc::new(urls));
    }

    /// Open ones.
    pub fn connections(&self) -> i64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "hg_operator_http_connections").unwrap();
        family.get_metric()[0].get_gauge().get_value() as i64
    }

    /// Requests of a class that were answered with 200.
    pub fn requests(&self, class: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "hg_operator_http_requests_total");
        let of_class = |metric: &&prometheus::proto::Metric| {
            let has = |value: &str| metric.get_label().iter().any(|label| label.value() == value);
            has(class) && has("200")
        };
        let metric = family.and_then(|family| family.get_metric().iter().find(of_class));
        metric.map_or(0, |metric| metric.get_counter().get_value() as u64)
    }

    /// Metrics as Prometheus reads them.
    pub fn metrics(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }

    /// Process ids of all children of this mirror's zygote.
    pub fn children(&self) -> Vec<String> {
        let run = self.site.folder.path().join("run").join("zygote.json");
        let of =
            |field: usize, stat: &str| stat.rsplit_once(") ").unwrap().1.split(' ').nth(field).unwrap().to_owned();
        let mut found = Vec::new();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let command = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            if command.contains(run.to_str().unwrap()) && of(1, &stat) != std::process::id().to_string() {
                found.push(process.file_name().into_string().unwrap());
            }
        }
        found
    }
}

fn route(site: &Site, away: bool) -> Routes {
    let route = Route {
        repository: CreationId(1),
        path: "a/b".parse().unwrap(),
        directory: site.repository(),
        description: "a <b> test".into(),
        last_push: Some(1_700_000_000),
        away,
    };
    [route].into_iter().collect()
}

pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (header, value) = line.split_once(": ")?;
            header.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or("")
    }
}

pub fn head(method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if length > 0 {
        head += &format!("Content-Length: {length}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

pub async fn get(mirror: &Mirror, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(mirror.address, &head("GET", path, headers, 0), b"").await
}

pub async fn request(mirror: &Mirror, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    send(mirror.address, &head(method, path, headers, body.len()), body).await
}

pub async fn send(address: SocketAddr, head: &[u8], body: &[u8]) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head).await.unwrap();
        // An answer may come before we have sent everything.
        let (mut read, mut write) = stream.split();
        let mut answer = Vec::new();
        let (_, _) = tokio::join!(write.write_all(body), read.read_to_end(&mut answer));
        answer
    };
    let answer = timeout(DEADLINE, exchange).await.expect("an answer in time");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: answer[end + 4..].to_vec() };
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = unchunk(&answer.body);
    }
    answer
}

fn unchunk(mut from: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = from.windows(2).position(|window| window == b"\r\n").expect("a whole chunked body");
        let length = usize::from_str_radix(std::str::from_utf8(&from[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&from[line + 2..line + 2 + length]);
        from = &from[line + 2 + length + 2..];
    }
}

pub async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"));
}
