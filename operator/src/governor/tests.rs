use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{Request, Response, StatusCode};
use kube::client::Body;
use prometheus::core::Collector;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::events::Events;
use crate::metrics;
use crate::notes::Notes;
use crate::objects::Maker;
use crate::queue::Queue;
use crate::world::World;

/// Far more than what is waited for here.
const LONG: Duration = Duration::from_secs(10);

fn lease(version: &str) -> Lease {
    serde_json::from_value(json!({
        "metadata": {
            "name": "hg", "namespace": "code", "resourceVersion": version,
            "annotations": {register::POD: "hg-ssh-0=first"},
        },
        "spec": {"holderIdentity": "hg-ssh-0"},
    }))
    .unwrap()
}

fn name() -> Name {
    Name::new("code", "hg")
}

/// Makes a context and registers of one API server and a watch of it.
fn registers(client: Client) -> (Context, Registers) {
    let (world, events) = (World::default(), Events::new(client.clone(), "test".to_owned()));
    world.registers.put(lease("7"));
    let context = Context::new(client.clone(), world, Queue::new(1), events, Maker::new("example/image:1", "code"));
    (context, Registers { client, behind: false })
}

#[tokio::test]
async fn after_a_write_the_register_is_read_until_the_watch_has_caught_up() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = tower::service_fn(move |_: Request<Body>| {
        count.fetch_add(1, Ordering::Relaxed);
        let text = serde_json::to_vec(&lease("8")).unwrap();
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from(text))))
    });
    let (context, mut registers) = registers(Client::new(server, "code"));
    let expected = |version: &str, asked, behind| (version.to_owned(), asked, behind);
    assert_eq!(read(&mut registers, &context, &asked).await, expected("7", 0, false), "as the watch has it");
    registers.behind = true;
    assert_eq!(read(&mut registers, &context, &asked).await, expected("8", 1, true));
    assert_eq!(read(&mut registers, &context, &asked).await, expected("8", 2, true), "the watch is behind");
    context.world.registers.put(lease("8"));
    assert_eq!(read(&mut registers, &context, &asked).await, expected("8", 3, false), "it has caught up");
    assert_eq!(read(&mut registers, &context, &asked).await, expected("8", 3, false));
}

/// The version, how often the API server was asked until then, and whether the watch is behind.
async fn read(registers: &mut Registers, context: &Context, asked: &AtomicUsize) -> (String, usize, bool) {
    let found = registers.read(context, &name()).await.unwrap();
    (found.resource_version().unwrap(), asked.load(Ordering::Relaxed), registers.behind)
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_silent_is_waited_for_no_longer_than_a_request_may_take() {
    let server =
        tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, std::io::Error>>());
    let (context, mut registers) = registers(Client::new(server, "code"));
    registers.behind = true;
    let start = Instant::now();
    assert_eq!(timeout(LONG, registers.read(&context, &name())).await, Ok(None));
    assert_eq!((start.elapsed(), registers.behind), (REQUEST, true), "what came of the write is still not known");
    let gone = timeout(LONG, registers.endings(&context, &name(), Some(&lease("7")))).await;
    assert_eq!((gone, start.elapsed()), (Ok(Default::default()), 2 * REQUEST));
}

#[tokio::test]
async fn a_request_is_sent_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let router = Router::new().fallback(async move || {
        count.fetch_add(1, Ordering::Relaxed);
        StatusCode::SERVICE_UNAVAILABLE
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = client_of(Config::new(url.parse().unwrap())).unwrap();
    let leases: Api<Lease> = Api::namespaced(client, "code");
    timeout(LONG, leases.get("hg")).await.expect("it is not sent again and again").unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// As one on a node that has lost its power: Linux answers nothing when nobody takes the connections that there are.
#[tokio::test]
async fn an_api_server_that_takes_no_connection_is_given_up_in_time() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connection) = timeout(REQUEST / 4, TcpStream::connect(address)).await {
        waiting.push(connection.unwrap());
    }
    let client = client_of(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    let leases: Api<Lease> = Api::namespaced(client, "code");
    timeout(LONG, leases.get("hg")).await.expect("it is not waited for").unwrap_err();
}

/// Collects those of SshMasters of the namespace `blocked`, in any order.
fn told() -> Vec<(String, f64)> {
    let all = metrics::metrics().unwrap().promotion_blocked.collect();
    let of = |series: &prometheus::proto::Metric| {
        let label = |name: &str| series.get_label().iter().find(|l| l.name() == name).unwrap().value().to_owned();
        (label("namespace") == "blocked").then(|| (label("master"), series.get_gauge().get_value()))
    };
    let mut told: Vec<_> = all[0].get_metric().iter().filter_map(of).collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    told
}

#[test]
fn a_blocked_promotion_is_measured_until_its_master_is_gone() {
    let (notes, a, b) = (Notes::default(), Name::new("blocked", "a"), Name::new("blocked", "b"));
    assert!(!notes.trouble(&a, None), "there was none before");
    assert!(notes.trouble(&b, Some("the register cannot be sealed".to_owned())));
    assert_eq!(told(), [("a".to_owned(), 0.0), ("b".to_owned(), 1.0)]);
    assert!(notes.trouble(&b, Some("nobody answers".to_owned())), "another one");
    assert!(!notes.trouble(&b, Some("nobody answers".to_owned())));
    assert_eq!(notes.get(&b).trouble.as_deref(), Some("nobody answers"));
    notes.forget(&a);
    assert_eq!(told(), [("b".to_owned(), 1.0)]);
    assert!(notes.trouble(&b, None));
    assert_eq!((told(), notes.get(&b).trouble), (vec![("b".to_owned(), 0.0)], None));
    notes.forget(&b);
    assert_eq!(told(), []);
}
