//! The supervisor's status address: plain HTTP on loopback and read-only, for `hgd status`, `hgd verify`
//! and tests. What changes anything goes to the master itself, with a certificate.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use protocol::Registry;
use protocol::status::Status;
use tokio::net::TcpListener;
use transport::{CancellationToken, Client, Target};

use super::apply;
use super::children::Pids;
use super::plan::Plan;
use super::verification::{ids, verify};

struct Server {
    client: Client,
    masters: Vec<Target>,
    holders: Vec<Target>,
    pids: Pids,
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
    let server = Arc::new(Server { client, masters, holders, pids });
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

async fn verification(State(server): State<Arc<Server>>) -> Response {
    let Some(status) = server.status().await else { return no_master() };
    for master in &server.masters {
        let registry = server.client.get_json::<Registry>(master, "/v1/registry").await;
        if let Ok(registry) = registry {
            let ids = ids(&status, &registry);
            return Json(verify(&server.client, &server.holders, &ids).await).into_response();
        }
    }
    no_master()
}

fn no_master() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "no SSH instance answers as master").into_response()
}
