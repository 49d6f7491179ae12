//! Probes: what the kubelet and Prometheus ask, over plain HTTP and from the process's first moment on. Whether it
//! lives, whether it should be sent anybody, and its metrics. `/healthz` says yes for as long as the process answers:
//! what it waits for is in other processes, and no restart of this one would bring it.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use tokio::net::TcpListener;
use tokio::sync::watch;
use transport::CancellationToken;

use crate::admin;
use crate::readiness::Readiness;

pub struct Probes {
    pub metrics: Registry,
    readiness: watch::Sender<Readiness>,
    is_ready: watch::Sender<bool>,
}

impl Probes {
    /// Not ready yet. Serves on `listen`, if there is one, until the process ends.
    pub async fn start(listen: Option<SocketAddr>) -> io::Result<Probes> {
        let metrics = Registry::new();
        metrics.register(Box::new(ProcessCollector::for_self())).map_err(io::Error::other)?;
        let readiness = watch::channel(Readiness::NotReady("this instance is starting".to_owned())).0;
        let probes = Probes { metrics, readiness, is_ready: watch::Sender::new(false) };
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
            readiness: self.readiness.subscribe(),
            registry: self.metrics.clone(),
        })
    }

    /// Answers whether this instance is ready, as a level.
    pub fn is_ready(&self) -> watch::Receiver<bool> {
        self.is_ready.subscribe()
    }

    pub fn ready(&self) {
        self.readiness.send_replace(Readiness::Ready);
        self.is_ready.send_replace(true);
    }

    /// `why` is a sentence for whoever looks into it.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.is_ready.send_replace(false);
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

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_pages_tell_of_the_level_of_now() {
        let probes = Probes::start(None).await.unwrap();
        let pages = probes.router().merge(admin::status(std::sync::Arc::new(|| serde_json::json!({"applied": 1}))));
        let get = async |path: &str| {
            let request = axum::extract::Request::get(path).body(axum::body::Body::empty()).unwrap();
            let answer = pages.clone().oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, String::from_utf8(bytes.to_vec()).unwrap())
        };
        assert_eq!(get("/readyz").await, (503, "this instance is starting\n".to_owned()));
        assert_eq!(get("/healthz").await.0, 200);
        assert!(!*probes.is_ready().borrow());
        probes.ready();
        assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
        assert!(*probes.is_ready().borrow());
        probes.not_ready("lagging: 5 records behind");
        assert_eq!(get("/readyz").await, (503, "lagging: 5 records behind\n".to_owned()));
        assert!(!*probes.is_ready().borrow());
        assert_eq!(get("/status.json").await, (200, "{\"applied\":1}".to_owned()));
        assert!(get("/metrics").await.1.contains("process_open_fds"));
    }
}
