//! Probes: what the kubelet and Prometheus ask, over plain HTTP and from the process's first moment on. Whether it
//! lives, whether it should be sent anybody, and its metrics. `/healthz` says yes for as long as the process answers:
//! what it waits for is in other processes, and no restart of this one would bring it.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use http_mirror::{Readiness, admin};
use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use tokio::net::TcpListener;
use tokio::sync::watch;
use transport::CancellationToken;

pub struct Probes {
    pub metrics: Registry,
    readiness: watch::Sender<Readiness>,
}

impl Probes {
    /// Not ready yet. Serves on `listen`, if there is one, until the process ends.
    pub async fn start(listen: Option<SocketAddr>) -> io::Result<Probes> {
        let metrics = Registry::new();
        metrics.register(Box::new(ProcessCollector::for_self())).map_err(io::Error::other)?;
        let readiness = watch::channel(Readiness::NotReady("this instance is starting".to_owned())).0;
        let probes = Probes { metrics, readiness };
        if let Some(address) = listen {
            let failed = |error| io::Error::other(format!("{address} cannot be listened on: {error}"));
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            tokio::spawn(transport::serve_plain(listener, probes.router(), CancellationToken::new()));
        }
        Ok(probes)
    }

    /// The same pages for the admin port.
    pub fn router(&self) -> Router {
        admin::probes(admin::Probes {
            health: watch::channel(Readiness::Ready).1,
            readiness: self.readiness(),
            registry: self.metrics.clone(),
        })
    }

    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    pub fn ready(&self) {
        self.readiness.send_replace(Readiness::Ready);
    }

    /// `why` is a sentence for whoever looks into it.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.readiness.send_replace(Readiness::NotReady(why.into()));
    }

    pub fn stopping(&self) {
        self.not_ready("this instance is stopping");
    }

    /// Ready while `level` is true. Never ends.
    pub async fn follow(&self, mut level: watch::Receiver<bool>, why_not: &str) -> std::convert::Infallible {
        loop {
            match *level.borrow_and_update() {
                true => self.ready(),
                false => self.not_ready(why_not),
            }
            if level.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
