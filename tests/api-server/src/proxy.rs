//! A proxy in front of the API server that does harm to one write. What Sieve (OSDI '22) does to controllers inside of
//! Kubernetes' client is done here outside of the process, so that it is the real program that is hurt.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use kube::Client;
use serde_json::json;

/// In the name of every Lease of an election.
pub const ELECTION: &[u8] = b"election-";
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write happens; neither its answer nor any later one comes: what a crash right after it looks like.
    Silence,
    /// The write happens; its answer is an error.
    LostAnswer,
    /// The write does not happen; its answer is this one.
    Refused(u16),
}

/// Serves until the runtime of the test ends.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    /// How many writes there were.
    writes: usize,
    harm: Option<(usize, Fault)>,
    silent: bool,
}

impl Proxy {
    /// `harm`: which write, counted from 1, and what is done to it.
    pub async fn start(client: Client, harm: Option<(usize, Fault)>) -> Proxy {
        let shared = Arc::new(Shared { client, plan: Mutex::new(Plan { harm, ..Plan::default() }) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(pass).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Proxy { address, shared }
    }

    pub fn writes(&self) -> usize {
        self.shared.plan.lock().unwrap().writes
    }

    /// A kubeconfig by which programs come here.
    pub fn kubeconfig(&self) -> String {
        let server = format!("http://{}", self.address);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "current-context": "proxy",
        })
        .to_string()
    }

    /// Waits until the write that is to be harmed was sent; false: there were not so many.
    pub async fn wait_until_struck(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            if self.shared.has_struck() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove("host");
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let fault = shared.strike(&parts.method, parts.uri.path(), &body);
    if let Some(Fault::Refused(code)) = fault {
        return status(code);
    }
    if shared.plan.lock().unwrap().silent && fault.is_none() {
        return std::future::pending().await;
    }
    let request = axum::http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answer = shared.client.send(request).await;
    match (fault, answer) {
        (Some(Fault::Silence), _) => std::future::pending().await,
        (Some(Fault::LostAnswer), _) => status(500),
        (_, Ok(answer)) => answer.map(Body::new),
        (_, Err(error)) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

impl Shared {
    fn has_struck(&self) -> bool {
        let plan = self.plan.lock().unwrap();
        plan.harm.is_none_or(|(at, _)| plan.writes >= at)
    }

    /// Counts a write. Events, and the Lease of the election, are not what is tested.
    fn strike(&self, method: &Method, path: &str, body: &[u8]) -> Option<Fault> {
        let elects = path.contains("/leases") && body.windows(ELECTION.len()).any(|found| found == ELECTION);
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        if reads || elects || path.contains("/events") {
            return None;
        }
        let mut plan = self.plan.lock().unwrap();
        if plan.silent {
            return None;
        }
        plan.writes += 1;
        let (at, fault) = plan.harm?;
        let struck = plan.writes == at;
        plan.silent |= struck && fault == Fault::Silence;
        struck.then_some(fault)
    }
}

fn status(code: u16) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "harmed by the test", "code": code,
    });
    let code = StatusCode::from_u16(code).unwrap();
    (code, axum::Json(body)).into_response()
}
