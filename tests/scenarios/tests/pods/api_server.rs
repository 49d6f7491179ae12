//! The one Lease, as an API server answers for it. (A real one is asked in `tests/api-server`.)

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use transport::CancellationToken;

type Held = Arc<Mutex<Option<Value>>>;

pub struct ApiServer {
    pub url: String,
    lease: Held,
}

impl ApiServer {
    /// Without the Lease.
    pub fn start(runtime: &Runtime) -> ApiServer {
        let lease = Held::default();
        let path = "/apis/coordination.k8s.io/v1/namespaces/hg/leases/main";
        let router = Router::new().route(path, get(read).put(replace)).with_state(lease.clone());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(transport::serve_plain(listener, router, CancellationToken::new()));
        ApiServer { url, lease }
    }

    /// Makes the Lease as the operator does, once.
    pub fn make_lease(&self, master: &str, in_sync: &str) {
        *self.lease.lock().unwrap() = Some(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "main", "namespace": "hg", "resourceVersion": "1",
                "annotations": {"hg-operator.dev/generation": "0", "hg-operator.dev/in-sync": in_sync},
            },
            "spec": {"holderIdentity": master},
        }));
    }

    pub fn generation(&self) -> String {
        self.annotation("generation")
    }

    pub fn in_sync(&self) -> String {
        self.annotation("in-sync")
    }

    fn annotation(&self, name: &str) -> String {
        let lease = self.lease.lock().unwrap().clone().unwrap();
        lease["metadata"]["annotations"][format!("hg-operator.dev/{name}")].as_str().unwrap().to_owned()
    }
}

type Answer = (StatusCode, Json<Value>);

async fn read(State(lease): State<Held>) -> Answer {
    match lease.lock().unwrap().clone() {
        Some(lease) => (StatusCode::OK, Json(lease)),
        None => failure(StatusCode::NOT_FOUND, "NotFound"),
    }
}

async fn replace(State(lease): State<Held>, Json(mut new): Json<Value>) -> Answer {
    let mut lease = lease.lock().unwrap();
    let held = lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
    if held != Some(new["metadata"]["resourceVersion"].clone()) {
        return failure(StatusCode::CONFLICT, "Conflict");
    }
    let version: u64 = new["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    new["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    *lease = Some(new.clone());
    (StatusCode::OK, Json(new))
}

fn failure(status: StatusCode, reason: &str) -> Answer {
    let status_object = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
                               "reason": reason, "code": status.as_u16()});
    (status, Json(status_object))
}
