//! A proxy in front of the API server that does harm to one write, refuses to tell of one kind, answers with what was
//! so before, and notes what it is asked for. What Sieve (OSDI '22) does to controllers inside of Kubernetes' client
//! is done here outside of the process, so that it is the real program that is hurt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use kube::Client;
use serde_json::json;
use tokio::sync::watch;

use crate::requests::{Asked, Right};

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

/// Snapshot of what the API server answered to the lists that were asked for.
#[derive(Clone, Default)]
pub struct Snapshot(BTreeMap<String, Bytes>);

impl Snapshot {
    /// Only the lists whose path begins so: each kind's cache is as old as it is.
    pub fn only(&self, path: &str) -> Snapshot {
        let lists = self.0.iter().filter(|(uri, _)| uri.starts_with(path));
        Snapshot(lists.map(|(uri, list)| (uri.clone(), list.clone())).collect())
    }
}

/// Serves until the runtime of the test ends.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    plan: Mutex<Plan>,
    seen: Mutex<Seen>,
    past: Snapshot,
    /// In the past: lists tell what was, and watches tell nothing.
    in_the_past: watch::Sender<bool>,
    /// Refused resource: nothing of it can be listed or watched.
    refused: watch::Sender<Option<&'static str>>,
}

#[derive(Default)]
struct Plan {
    /// How many writes there were.
    writes: usize,
    /// Renewals of the Lease of the election.
    renewals: usize,
    harm: Option<(usize, Fault)>,
    silent: bool,
}

#[derive(Default)]
struct Seen {
    lists: BTreeSet<String>,
    used: BTreeSet<(Option<String>, Right)>,
    refused: BTreeSet<Right>,
    events: BTreeSet<String>,
}

impl Proxy {
    /// `harm`: which write, counted from 1, and what is done to it.
    pub async fn start(client: Client, harm: Option<(usize, Fault)>) -> Proxy {
        Proxy::serve(client, Plan { harm, ..Plan::default() }, Snapshot::default(), false).await
    }

    /// Lists are those of the snapshot until `return_to_the_present`, as of an API server whose cache is that old.
    pub async fn start_in_the_past(client: Client, past: Snapshot) -> Proxy {
        Proxy::serve(client, Plan::default(), past, true).await
    }

    async fn serve(client: Client, plan: Plan, past: Snapshot, in_the_past: bool) -> Proxy {
        let in_the_past = watch::Sender::new(in_the_past);
        let (plan, seen) = (Mutex::new(plan), Mutex::default());
        let refused = watch::Sender::new(None);
        let shared = Arc::new(Shared { client, plan, seen, past, in_the_past, refused });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(pass).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Proxy { address, shared }
    }

    /// Watches go on from where the old lists were.
    pub fn return_to_the_present(&self) {
        self.shared.in_the_past.send_replace(false);
    }

    /// From now on lists and watches of this resource are refused, and those under way end; None: of none any more.
    pub fn refuse(&self, resource: Option<&'static str>) {
        self.shared.refused.send_replace(resource);
    }

    /// All lists that were asked for here, as they are now.
    pub async fn snapshot(&self) -> Snapshot {
        let lists = self.shared.seen.lock().unwrap().lists.clone();
        let mut snapshot = Snapshot::default();
        for uri in lists {
            let request = axum::http::Request::get(&uri).body(kube::client::Body::empty()).unwrap();
            let answer = self.shared.client.send(request).await.unwrap();
            let body = axum::body::to_bytes(Body::new(answer.into_body()), MAX_BODY_BYTES).await.unwrap();
            snapshot.0.insert(uri, body);
        }
        assert!(!snapshot.0.is_empty(), "nobody asked for a list");
        snapshot
    }

    /// Lists what was asked for and done in this namespace, or in all of them at once.
    pub fn used(&self, namespace: &str) -> BTreeSet<Right> {
        let seen = self.shared.seen.lock().unwrap();
        let ours = seen.used.iter().filter(|(of, _)| of.as_ref().is_none_or(|of| of == namespace));
        ours.map(|(_, right)| right.clone()).collect()
    }

    /// Lists what the API server did not allow.
    pub fn not_allowed(&self) -> BTreeSet<Right> {
        self.shared.seen.lock().unwrap().refused.clone()
    }

    /// The reasons of all events that were told.
    pub fn events(&self) -> BTreeSet<String> {
        self.shared.seen.lock().unwrap().events.clone()
    }

    pub fn writes(&self) -> usize {
        self.shared.plan.lock().unwrap().writes
    }

    /// How often the Lease of the election was written, which is every two seconds.
    pub fn renewals(&self) -> usize {
        self.shared.plan.lock().unwrap().renewals
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

    /// The write that is to be harmed was sent.
    pub fn has_struck(&self) -> bool {
        self.shared.has_struck()
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
    let asked = Asked::of(&parts.method, &parts.uri);
    if shared.refuses(asked.as_ref()) {
        return status(500);
    }
    if let Some(old) = shared.old(asked.as_ref(), &parts.uri.to_string()).await {
        return old;
    }
    let request = axum::http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answer = shared.client.send(request).await;
    if let (Some(asked), Ok(answer)) = (&asked, &answer) {
        shared.note(asked, answer.status(), &body);
    }
    match (fault, answer) {
        (Some(Fault::Silence), _) => std::future::pending().await,
        (Some(Fault::LostAnswer), _) => status(500),
        (_, Ok(answer)) => answer.map(|body| shared.until_refused(asked.as_ref(), Body::new(body))),
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
        let named = path.ends_with("/leases/hg-operator");
        let elects = path.contains("/leases") && body.windows(ELECTION.len()).any(|found| found == ELECTION);
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) || path.contains("/events") {
            return None;
        }
        let mut plan = self.plan.lock().unwrap();
        if elects || named {
            plan.renewals += 1;
            return None;
        }
        if plan.silent {
            return None;
        }
        plan.writes += 1;
        let (at, fault) = plan.harm?;
        let struck = plan.writes == at;
        plan.silent |= struck && fault == Fault::Silence;
        struck.then_some(fault)
    }

    /// The answer of the past, if there is one. A watch is answered by the present, once it has come.
    async fn old(&self, asked: Option<&Asked>, uri: &str) -> Option<Response> {
        let asked = asked?;
        if asked.verb == "list" {
            self.seen.lock().unwrap().lists.insert(uri.to_owned());
        }
        let mut past = self.in_the_past.subscribe();
        if !*past.borrow_and_update() {
            return None;
        }
        match asked.verb {
            "list" => {
                let list = self.past.0.get(uri)?.clone();
                Some(([("content-type", "application/json")], list).into_response())
            }
            "watch" if self.past.0.keys().any(|list| path(list) == path(uri)) => {
                let _the_proxy_lives_as_long_as_its_requests = past.wait_for(|past| !past).await;
                None
            }
            _ => None,
        }
    }

    /// Nothing of this may be told now.
    fn refuses(&self, asked: Option<&Asked>) -> bool {
        asked.is_some_and(|asked| is_refused(asked, *self.refused.borrow()))
    }

    /// A watch ends when it is refused.
    fn until_refused(&self, asked: Option<&Asked>, body: Body) -> Body {
        let Some(asked) = asked.filter(|asked| asked.verb == "watch").cloned() else { return body };
        let mut refused = self.refused.subscribe();
        let refused = async move {
            let _the_proxy_lives_as_long_as_its_requests = refused.wait_for(|now| is_refused(&asked, *now)).await;
        };
        Body::from_stream(body.into_data_stream().take_until(Box::pin(refused)))
    }

    fn note(&self, asked: &Asked, status: StatusCode, body: &[u8]) {
        let mut seen = self.seen.lock().unwrap();
        if status == StatusCode::FORBIDDEN {
            seen.refused.insert(asked.right());
            return;
        }
        seen.used.insert((asked.namespace.clone(), asked.right()));
        // Server-side apply of what is not there needs both.
        if asked.verb == "patch" && status == StatusCode::CREATED {
            seen.used.insert((asked.namespace.clone(), Asked { verb: "create", ..asked.clone() }.right()));
        }
        if asked.resource == "events" && status.is_success() {
            let event: serde_json::Value = serde_json::from_slice(body).unwrap();
            seen.events.extend(event["reason"].as_str().map(ToOwned::to_owned));
        }
    }
}

fn is_refused(asked: &Asked, resource: Option<&str>) -> bool {
    resource == Some(asked.resource.as_str()) && ["list", "watch"].contains(&asked.verb)
}

fn path(uri: &str) -> &str {
    uri.split('?').next().unwrap_or_default()
}

fn status(code: u16) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "harmed by the test", "code": code,
    });
    let code = StatusCode::from_u16(code).unwrap();
    (code, axum::Json(body)).into_response()
}
