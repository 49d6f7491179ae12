//! The supervisor's status address: plain HTTP on loopback and read-only, for `hgd status`, `hgd verify` and tests.
//! What changes anything goes to the master itself, or to the supervisor's admin address, with a certificate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use protocol::status::Status;
use protocol::{InstanceName, Registry};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use transport::{CancellationToken, Client, Identity, Target};

use super::apply;
use super::children::Pids;
use super::governor::Asked;
use super::plan::Plan;
use super::verification::{ids, verify};
use crate::ssh::only_the_supervisor;

/// How long a switchover may take until its outcome is told.
const SWITCHOVER: Duration = Duration::from_secs(30);
const UNDER_WAY: &str = "another switchover is under way";

struct Server {
    client: Client,
    masters: Vec<Target>,
    holders: Vec<Target>,
    pids: Pids,
    /// All SSH instances have one volume: only the master has it open.
    shared: bool,
}

/// Binds, then answers what it serves with.
pub async fn start(
    plan: &Plan,
    masters: Vec<Target>,
    client: Client,
    pids: Pids,
    cancel: CancellationToken,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = TcpListener::bind(plan.status).await?;
    let mirrors = plan.mirrors.iter().map(|mirror| Target::new(mirror.name.clone(), mirror.admin.as_str()));
    let holders = masters.iter().cloned().chain(mirrors).collect();
    let server = Arc::new(Server { client, masters, holders, pids, shared: plan.volume.is_some() });
    let router =
        Router::new().route("/status.json", get(status)).route("/verify.json", get(verification)).with_state(server);
    Ok(transport::serve_plain(listener, router, cancel))
}

async fn status(State(server): State<Arc<Server>>) -> Response {
    match server.status().await {
        Some(status) => Json(status).into_response(),
        None => no_master(),
    }
}

impl Server {
    /// Who has repositories.
    fn holders(&self, status: &Status) -> Vec<Target> {
        let waits = |name: &InstanceName| {
            self.shared && status.master.as_ref() != Some(name) && self.masters.iter().any(|ssh| ssh.name == *name)
        };
        self.holders.iter().filter(|holder| !waits(&holder.name)).cloned().collect()
    }

    async fn status(&self) -> Option<Status> {
        let mut status = apply::status(&self.client, &self.masters).await?;
        for instance in &mut status.instances {
            instance.pid = self.pids.get(instance.name.as_str());
        }
        for mirror in &mut status.mirrors {
            mirror.pid = self.pids.get(mirror.name.as_str());
        }
        Some(status)
    }
}

/// What changes who is master, for whoever has the supervisor's certificate, which lies in the data directory.
pub async fn start_admin(
    address: std::net::SocketAddr,
    identity: Identity,
    governor: mpsc::Sender<Asked>,
    cancel: CancellationToken,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = TcpListener::bind(address).await?;
    let only = middleware::from_fn(only_the_supervisor);
    let router = Router::new().route("/v1/promote", post(promote)).route("/v1/fence", post(fence));
    let router = router.route_layer(only).with_state(governor);
    Ok(transport::serve(listener, identity, router, cancel))
}

#[derive(Deserialize, Serialize)]
pub struct Promote {
    /// None: whichever standby is ready.
    pub to: Option<InstanceName>,
}

async fn promote(State(governor): State<mpsc::Sender<Asked>>, Json(Promote { to }): Json<Promote>) -> Response {
    let (answer, answered) = oneshot::channel();
    if governor.try_send(Asked::Promote { to, answer }).is_err() {
        return (StatusCode::CONFLICT, UNDER_WAY).into_response();
    }
    match tokio::time::timeout(SWITCHOVER, answered).await {
        Ok(Ok(Ok(done))) => Json(done).into_response(),
        Ok(Ok(Err(why))) => (StatusCode::CONFLICT, why).into_response(),
        _ => (StatusCode::GATEWAY_TIMEOUT, "the switchover has not ended yet; see hgd status").into_response(),
    }
}

#[derive(Deserialize, Serialize)]
pub struct Fence {
    /// False: it is only told what would be done.
    pub confirm: bool,
}

async fn fence(State(governor): State<mpsc::Sender<Asked>>, Json(Fence { confirm }): Json<Fence>) -> Response {
    let (answer, answered) = oneshot::channel();
    if governor.try_send(Asked::Fence { confirm, answer }).is_err() {
        return (StatusCode::CONFLICT, UNDER_WAY).into_response();
    }
    match answered.await {
        Ok(Ok(fenced)) => Json(fenced).into_response(),
        Ok(Err(why)) => (StatusCode::CONFLICT, why).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the supervisor is stopping").into_response(),
    }
}

async fn verification(State(server): State<Arc<Server>>) -> Response {
    let Some(status) = server.status().await else { return no_master() };
    for master in &server.masters {
        let registry = server.client.get_json::<Registry>(master, "/v1/registry").await;
        if let Ok(registry) = registry {
            let ids = ids(&status, &registry);
            return Json(verify(&server.client, &server.holders(&status), &ids).await).into_response();
        }
    }
    no_master()
}

fn no_master() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "no SSH instance answers as master").into_response()
}
