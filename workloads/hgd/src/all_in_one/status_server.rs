//! The supervisor's status: HTTP on a socket in the data directory, read-only, for `hgd status` and `hgd verify` of
//! whoever owns that directory. It names private repositories, hence no port, which everybody here could ask.
//! What changes anything goes to the master itself, or to the supervisor's admin address, with a certificate.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::{Either, select};
use interface::{Ask, ask, paths};
use protocol::status::Status;
use protocol::{InstanceName, Registry};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot, watch};
use transport::{CancellationToken, Client, DRAIN_SECONDS, Identity, Target};

use super::children::Pids;
use super::governor::Asked;
use super::outlook::Outlook;
use super::plan::{Plan, PlannedMirror};
use super::verification::{ids, verify};
use super::{absence, apply};
use crate::access::Access;

/// How long a switchover may take until its outcome is told.
/// For one instance.
const PATIENCE: Duration = Duration::from_secs(30);
const SWITCHOVER: Duration = Duration::from_secs(30);
const UNDER_WAY: &str = "another switchover is under way";

/// Asks: who is asked, and what the supervisor itself knows.
pub struct Asks {
    pub client: Client,
    pub masters: Vec<Target>,
    pub pids: Pids,
    pub outlook: watch::Receiver<Outlook>,
}

struct Server {
    asks: Asks,
    mirrors: Vec<(Target, String)>,
    /// All SSH instances have one volume: only the master has it open.
    shared: bool,
}

/// The folder of the socket.
pub const FOLDER: &str = "run";

/// Where the supervisor of this data directory is asked.
pub fn socket(data: &Path) -> PathBuf {
    data.join(FOLDER).join("status")
}

/// The socket's folder is its owner's alone from before the socket is there.
fn listen(data: &Path) -> io::Result<UnixListener> {
    let (folder, socket) = (data.join(FOLDER), socket(data));
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(&socket),
    }
}

/// Binds, then answers what it serves with.
pub async fn start(
    data: &Path,
    plan: &Plan,
    asks: Asks,
    cancel: CancellationToken,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = listen(data)?;
    let mirror =
        |mirror: &PlannedMirror| (Target::new(mirror.name.clone(), mirror.admin.as_str()), mirror.url.clone());
    let mirrors = plan.mirrors.iter().map(mirror).collect();
    let server = Arc::new(Server { asks, mirrors, shared: plan.volume.is_some() });
    let router =
        Router::new().route("/status.json", get(status)).route("/verify.json", get(verification)).with_state(server);
    let drained = cancel.clone();
    let served = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned());
    Ok(async move {
        tokio::select! {
            _ended = served.into_future() => {}
            () = drained_after(drained) => {}
        }
    })
}

async fn drained_after(cancel: CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS)).await;
}

async fn status(State(server): State<Arc<Server>>) -> Json<Status> {
    Json(server.status().await)
}

impl Server {
    /// Lists who has repositories.
    fn holders(&self, status: &Status) -> Vec<Target> {
        let opened = |ssh: &&Target| !self.shared || status.master.as_ref() == Some(&ssh.name);
        let ssh = self.asks.masters.iter().filter(opened);
        ssh.chain(self.mirrors.iter().map(|(mirror, _)| mirror)).cloned().collect()
    }

    async fn status(&self) -> Status {
        let Asks { client, masters, outlook, .. } = &self.asks;
        // At the same time: who looks while a master is frozen does not wait for it twice.
        let told = async { tokio::join!(absence::held(client, masters), absence::shown(client, &self.mirrors)) };
        let known = match select(pin!(apply::status(client, masters)), pin!(told)).await {
            Either::Left((Some(known), _)) => Ok(known),
            Either::Left((None, told)) => Err(told.await),
            Either::Right((told, known)) => known.await.ok_or(told),
        };
        self.with_processes(known.unwrap_or_else(|(ssh, mirrors)| absence::status(&outlook.borrow(), ssh, mirrors)))
    }

    fn with_processes(&self, mut status: Status) -> Status {
        let pids = &self.asks.pids;
        for instance in &mut status.instances {
            instance.pid = pids.get(instance.name.as_str());
        }
        for mirror in &mut status.mirrors {
            mirror.pid = pids.get(mirror.name.as_str());
        }
        status
    }
}

/// Starts what changes who is master, for whoever has the supervisor's certificate, which lies in the data directory.
pub async fn start_admin(
    address: std::net::SocketAddr,
    identity: Identity,
    governor: mpsc::Sender<Asked>,
    cancel: CancellationToken,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = TcpListener::bind(address).await?;
    let router = Router::new().route(paths::PROMOTE, post(promote)).route(paths::FENCE, post(fence));
    let router = Access::new([], None).guard(router.with_state(governor));
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
    let (status, client) = (server.status().await, &server.asks.client);
    if status.master.is_some()
        && let Ok(registry) = ask::<Registry>(client, &server.asks.masters, Ask::Get(paths::REGISTRY), PATIENCE).await
    {
        let ids = ids(&status, &registry);
        return Json(verify(client, &server.holders(&status), &ids).await).into_response();
    }
    let why = status.absence.map(|absence| format!(": {}", absence.sentence)).unwrap_or_default();
    (StatusCode::SERVICE_UNAVAILABLE, format!("no SSH instance answers as master{why}")).into_response()
}
