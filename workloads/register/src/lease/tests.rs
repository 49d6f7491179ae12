//! A Lease in an API server that is a value here: it keeps one object, checks `resourceVersion`, and can lose answers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::TakeError;

/// Fate of the next write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Answered,
    /// Stored, and the answer is a gateway's error.
    AnswerLost,
    /// Refused by policy.
    Forbidden,
}

#[derive(Clone, Default)]
pub struct Cluster {
    object: Arc<Mutex<Option<Value>>>,
    fate: Arc<Mutex<Fate>>,
    writes: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    pub fn with_lease(generation: &str, holder: Option<&str>, in_sync: &str) -> Cluster {
        let cluster = Cluster::default();
        *cluster.object.lock().unwrap() = Some(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "main", "namespace": "hg", "resourceVersion": "1",
                "labels": {"app.kubernetes.io/instance": "main"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "u"}],
                "annotations": {GENERATION: generation, IN_SYNC: in_sync},
            },
            "spec": {"holderIdentity": holder},
        }));
        cluster
    }

    pub fn register(&self) -> Register {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move { Ok::<_, Infallible>(cluster.answer(request).await) }
        });
        LeaseRegister::with(Client::new(service, "hg"), "hg", "main").into()
    }

    fn object(&self) -> Value {
        self.object.lock().unwrap().clone().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<bytes::Bytes>> {
        assert_eq!(request.uri().path(), "/apis/coordination.k8s.io/v1/namespaces/hg/leases/main");
        if request.method() == Method::GET {
            return match self.object.lock().unwrap().clone() {
                Some(object) => respond(StatusCode::OK, &object),
                None => failure(StatusCode::NOT_FOUND, "NotFound"),
            };
        }
        assert_eq!(request.method(), Method::PUT, "only get and update are granted");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut new: Value = serde_json::from_slice(&body).unwrap();
        let mut object = self.object.lock().unwrap();
        let held = object.as_ref().unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let named = new["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let fate = std::mem::take(&mut *self.fate.lock().unwrap());
        if fate == Fate::Forbidden {
            return failure(StatusCode::FORBIDDEN, "Forbidden");
        }
        if named != held {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        new["metadata"]["resourceVersion"] = json!((held.parse::<u64>().unwrap() + 1).to_string());
        *object = Some(new.clone());
        self.writes.lock().unwrap().push(new["metadata"]["annotations"][GENERATION].to_string());
        match fate {
            Fate::AnswerLost => failure(StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            Fate::Answered | Fate::Forbidden => respond(StatusCode::OK, &new),
        }
    }
}

fn respond(status: StatusCode, value: &Value) -> Response<Full<bytes::Bytes>> {
    Response::builder().status(status).body(serde_json::to_vec(value).unwrap().into()).unwrap()
}

fn failure(status: StatusCode, reason: &str) -> Response<Full<bytes::Bytes>> {
    let value = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
                       "message": reason, "reason": reason});
    respond(status, &value)
}

fn disk(text: &str) -> DiskId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_write_leaves_the_rest_of_the_object_alone() {
    let cluster = Cluster::with_lease("4", Some("ssh-0"), "ssh-1,ssh-2");
    let before = cluster.object();
    let register = cluster.register();
    let taken = register.take_generation(&"ssh-0".parse().unwrap(), &disk("one")).await.unwrap();
    assert_eq!(taken.value.generation, Generation(5));
    let mut expected = before;
    expected["metadata"]["annotations"][GENERATION] = json!("5");
    expected["metadata"]["annotations"][DISKS] = json!("ssh-0=one");
    expected["metadata"]["annotations"][WRITES] = json!("1");
    expected["metadata"]["resourceVersion"] = json!("2");
    assert_eq!(cluster.object(), expected);
}

#[tokio::test]
async fn a_renewal_is_a_write_that_says_when_and_changes_nothing_else() {
    let cluster = Cluster::with_lease("4", Some("ssh-0"), "");
    let name = "ssh-0".parse().unwrap();
    let register = cluster.register().stamping(Some("uid".to_owned()));
    let taken = register.take_generation(&name, &disk("one")).await.unwrap();
    let stamp = |object: &Value| object["spec"]["renewTime"].as_str().map(str::to_owned);
    let first = stamp(&cluster.object()).expect("an opening is stamped, too");
    assert_eq!(cluster.object()["metadata"]["annotations"][POD], "ssh-0=uid");
    let renewed = register.write(&taken.version, taken.value.clone()).await.unwrap();
    assert_ne!(renewed, taken.version, "who read the one before writes in vain");
    assert!(stamp(&cluster.object()).unwrap() > first);
    assert_eq!(register.read().await.unwrap().unwrap().value, taken.value);
    // Others write it, too, and have no lease to renew.
    let before = stamp(&cluster.object());
    cluster.register().write(&renewed, taken.value.frozen()).await.unwrap();
    assert_eq!(stamp(&cluster.object()), before);
}

#[tokio::test]
async fn the_holder_before_is_remembered() {
    let cluster = Cluster::with_lease("4", Some("ssh-0"), "ssh-1,ssh-2");
    let register = cluster.register();
    let found = register.read().await.unwrap().unwrap();
    let frozen = found.value.frozen();
    let version = register.write(&found.version, frozen.clone()).await.unwrap();
    assert_eq!(register.read().await.unwrap().unwrap().value, frozen);
    let state = frozen.naming(&"ssh-1".parse().unwrap());
    register.write(&version, state.clone()).await.unwrap();
    assert_eq!(register.read().await.unwrap().unwrap().value, state);
    let annotations = cluster.object()["metadata"]["annotations"].clone();
    assert_eq!(
        annotations,
        json!({GENERATION: "5", IN_SYNC: "ssh-2", DISKS: "", PREVIOUS_HOLDER: "ssh-0", WRITES: "2"})
    );
}

#[tokio::test]
async fn how_a_promotion_was_made_stays_until_the_next_one() {
    let cluster = Cluster::with_lease("4", Some("ssh-0"), "ssh-1");
    let register = cluster.register();
    let found = register.read().await.unwrap().unwrap();
    let frozen = found.value.frozen().begun("it is silent".to_owned(), 1_000);
    let version = register.write(&found.version, frozen.clone()).await.unwrap();
    assert_eq!(register.read().await.unwrap().unwrap().value, frozen);
    let ssh_1 = "ssh-1".parse().unwrap();
    let named = frozen.naming(&ssh_1).made("ssh-1 is sealed".to_owned(), 2_500);
    register.write(&version, named.clone()).await.unwrap();
    let opened = register.take_generation(&ssh_1, &disk("two")).await.unwrap();
    let promotion = opened.value.promotion.clone().unwrap();
    assert_eq!((promotion.from, promotion.reason.as_str()), (Some("ssh-0".parse().unwrap()), "it is silent"));
    let made = crate::Made { to: ssh_1, proof: "ssh-1 is sealed".to_owned(), at: 2_500 };
    assert_eq!((promotion.begun, promotion.made), (1_000, Some(made)));
    // The next one, and its withdrawal, have nothing of it.
    let frozen = opened.value.frozen();
    assert_eq!(frozen.promotion, None);
    let withdrawn = frozen.clone().begun("again".to_owned(), 3_000).withdrawn(&"ssh-1".parse().unwrap());
    register.write(&opened.version, withdrawn.clone()).await.unwrap();
    assert_eq!((register.read().await.unwrap().unwrap().value, withdrawn.promotion.clone()), (withdrawn, None));
    // What people write there keeps nobody from reading the rest.
    cluster.object.lock().unwrap().as_mut().unwrap()["metadata"]["annotations"][PROMOTION] = json!("{");
    assert_eq!(register.read().await.unwrap().unwrap().value.promotion, None);
}

#[tokio::test]
async fn who_wrote_from_another_pod_is_known() {
    let cluster = Cluster::with_lease("4", Some("ssh-0"), "");
    let (name, other) = ("ssh-0".parse().unwrap(), "ssh-1".parse().unwrap());
    let elsewhere = async |register: &Register, name| register.read_as(name).await.unwrap().unwrap().1;
    let [first, second] = ["first", "second"].map(|pod| cluster.register().stamping(Some(pod.to_owned())));
    assert!(!elsewhere(&second, &name).await, "nobody has written yet");
    first.take_generation(&name, &disk("one")).await.unwrap();
    assert!(elsewhere(&second, &name).await && !elsewhere(&first, &name).await);
    assert!(!elsewhere(&second, &other).await);
    // Also of a frozen register.
    let found = first.read().await.unwrap().unwrap();
    cluster.register().write(&found.version, found.value.frozen()).await.unwrap();
    assert!(elsewhere(&second, &name).await && !elsewhere(&first, &name).await);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_later_opening_takes_a_later_generation() {
    let cluster = Cluster::with_lease("0", Some("ssh-0"), "");
    let register = cluster.register();
    *cluster.fate.lock().unwrap() = Fate::AnswerLost;
    let master = "ssh-0".parse().unwrap();
    let lost = register.take_generation(&master, &disk("one")).await.unwrap_err();
    assert!(matches!(&lost, TakeError::Write(WriteError::Unknown { .. })) && lost.is_passing(), "{lost}");
    let taken = register.take_generation(&master, &disk("one")).await.unwrap();
    assert_eq!(taken.value.generation, Generation(2));
    assert_eq!(*cluster.writes.lock().unwrap(), ["\"1\"", "\"2\""], "one write for each opening");
}

#[tokio::test]
async fn what_cannot_be_is_said_in_a_sentence() {
    let master = "ssh-0".parse().unwrap();
    let missing = Cluster::default().register();
    assert_eq!(missing.read().await.unwrap(), None);
    let refused = missing.take_generation(&master, &disk("one")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the register Lease hg/main is not there: the operator makes it");

    let cluster = Cluster::with_lease("0", Some("ssh-0"), "");
    *cluster.fate.lock().unwrap() = Fate::Forbidden;
    let refused = cluster.register().take_generation(&master, &disk("one")).await.unwrap_err();
    assert!(matches!(refused, TakeError::Write(WriteError::Refused { .. })), "{refused}");

    for (generation, holder, in_sync, reason) in [
        ("x", Some("ssh-0"), "", "hg-operator.dev/generation is not a number: 'x'"),
        ("1", Some("Ssh 0"), "", "'Ssh 0' is not an instance's name"),
        ("1", None, "ssh-1,!", "'!' is not an instance's name"),
    ] {
        let damaged = Cluster::with_lease(generation, holder, in_sync).register().read().await.unwrap_err();
        assert!(!damaged.is_passing());
        assert!(damaged.to_string().contains(reason), "{damaged}");
    }
}
