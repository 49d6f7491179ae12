//! A master, endpoints that say their name, and a balancer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use balancer::{BalancerOptions, Settings};
use protocol::endpoints::{Endpoint, Endpoints, ServingReport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use transport::{Authority, CancellationToken, Client, Identity, Target};

pub const DEADLINE: Duration = Duration::from_secs(20);

/// Wishes of the master, and what it was told last.
#[derive(Default)]
pub struct Wishes {
    pub wanted: Vec<Endpoint>,
    pub reports: Vec<ServingReport>,
}

pub struct Setting {
    directory: TempDir,
    authority: Authority,
    pub wishes: Arc<Mutex<Wishes>>,
    pub balancer: SocketAddr,
    pub shutdown: CancellationToken,
    master: (Target, CancellationToken),
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.master.1.cancel();
    }
}

impl Setting {
    pub async fn new(settings: Settings) -> Setting {
        transport::install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(directory.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let balancer = listener.local_addr().unwrap();
        let at_master = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = at_master.local_addr().unwrap().to_string();
        let master = Target::new("ssh-1".parse().unwrap(), address);
        let mut setting = Setting {
            directory,
            authority,
            wishes: Arc::default(),
            balancer,
            shutdown: CancellationToken::new(),
            master: (master.clone(), CancellationToken::new()),
        };
        setting.start_master(at_master);
        // Nobody listens at the first; the balancer must find the second.
        let nobody = Target::new("ssh-0".parse().unwrap(), closed_port().await);
        let client = Client::new(setting.identity("balancer"));
        let options = BalancerOptions { listener, masters: vec![nobody, master], client, settings };
        tokio::spawn(balancer::run(options, setting.shutdown.clone()));
        setting
    }

    fn identity(&self, name: &str) -> Identity {
        let own = self.directory.path().join(name);
        self.authority.issue(&name.parse().unwrap(), &[], &own).unwrap();
        Identity::open(&own).unwrap()
    }

    fn start_master(&mut self, listener: TcpListener) {
        let wishes = self.wishes.clone();
        let answer = post(move |Json(report): Json<ServingReport>| async move {
            let mut wishes = wishes.lock().unwrap();
            wishes.reports.push(report);
            Json(Endpoints { endpoints: wishes.wanted.clone() })
        });
        let router = Router::new().route("/v1/endpoints", answer);
        self.master.1 = CancellationToken::new();
        tokio::spawn(transport::serve(listener, self.identity("ssh-1"), router, self.master.1.clone()));
    }

    pub async fn stop_master(&self) {
        self.master.1.cancel();
        until("the master to stop", async || TcpStream::connect(&self.master.0.address).await.is_err()).await;
    }

    pub fn want(&self, endpoints: &[&Named]) {
        let endpoint =
            |named: &&Named| Endpoint { name: named.name.parse().unwrap(), address: named.address.to_string() };
        self.wishes.lock().unwrap().wanted = endpoints.iter().map(endpoint).collect();
    }

    /// (in rotation, connections) of one endpoint in the last report; None when it is not mentioned.
    pub fn told(&self, name: &str) -> Option<(bool, u64)> {
        let wishes = self.wishes.lock().unwrap();
        let serving = wishes.reports.last()?.serving.iter().find(|serving| serving.name.as_str() == name)?;
        Some((serving.in_rotation, serving.connections))
    }

    pub async fn until_told(&self, name: &str, what: Option<(bool, u64)>) {
        until(&format!("{name} to be told as {what:?}"), async || self.told(name) == what).await;
    }

    /// Connects from 127.0.0.`last` and says which endpoint answered.
    pub async fn ask(&self, last: u8) -> (String, TcpStream) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        let mut stream = timeout(DEADLINE, socket.connect(self.balancer)).await.unwrap().unwrap();
        let mut name = [0; 1];
        timeout(DEADLINE, stream.read_exact(&mut name)).await.unwrap().unwrap();
        (String::from_utf8(name.to_vec()).unwrap(), stream)
    }
}

pub async fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

/// Looks again until it is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !so().await {
        assert!(started.elapsed() < DEADLINE, "waited too long for {what}");
        tick.tick().await;
    }
}

/// An endpoint that says its one-letter name and then echoes until the client has said all.
pub struct Named {
    pub name: &'static str,
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl Named {
    pub async fn start(name: &'static str) -> Named {
        Named::at(name, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(name: &'static str, address: SocketAddr) -> Named {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _client_may_leave = to.write_all(name.as_bytes()).await;
                    let _client_may_leave = tokio::io::copy(&mut from, &mut to).await;
                    let _client_may_leave = to.shutdown().await;
                });
            }
        }));
        Named { name, address, stop }
    }

    /// One whose connections the test takes itself.
    pub fn listening(name: &'static str, address: SocketAddr) -> Named {
        Named { name, address, stop: CancellationToken::new() }
    }

    /// Nothing listens there when this returns.
    pub async fn stop(&self) {
        self.stop.cancel();
        until("the endpoint to stop", async || TcpStream::connect(self.address).await.is_err()).await;
    }
}
