//! Putting it together: watch, stand for election, and once elected, look at everything.

use std::net::SocketAddr;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::timeout::TimeoutLayer;
use transport::CancellationToken;

use crate::context::Context;
use crate::election::{self, ElectionError, Seat};
use crate::events::Events;
use crate::health::{self, Health};
use crate::metrics;
use crate::objects::Maker;
use crate::queue::Queue;
use crate::queue::decide::Outcome;
use crate::world::{self, Key, World};
use crate::{governor, master, pool, repository};

/// Objects looked at at once: each may have a request to the API server or a master under way.
const WORKERS: usize = 24;
/// Until an answer of the API server begins.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// For a connection from which something is awaited: longer than a watch, which is asked anew every minute.
const SILENT_LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at whether everything was listed.
const LISTED_EVERY: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub struct Options {
    /// None: the whole cluster.
    pub namespaces: Vec<String>,
    pub image: String,
    pub listen: SocketAddr,
    pub seat: Seat,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("metrics cannot be registered: {0}")]
    Metrics(String),
    #[error("no connection to the API server: {0}")]
    Client(#[from] kube::Error),
    #[error("--listen {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error(transparent)]
    Election(#[from] ElectionError),
    #[error("the workers ended: one of them panicked")]
    Workers,
}

pub async fn run(options: Options, stop: watch::Receiver<bool>) -> Result<(), RunError> {
    metrics::start().map_err(|error| RunError::Metrics(error.to_string()))?;
    let client = client().await?;
    let (world, queue) = (World::default(), Queue::new(WORKERS));
    let watches = world::watch(&client, &options.namespaces, &world, &queue);
    let health = Health { watches: watches.clone(), queue: queue.clone() };
    let served = CancellationToken::new();
    let serving = health::start(options.listen, health, served.clone()).await;
    tokio::spawn(serving.map_err(|error| RunError::Listen(options.listen, error))?);
    let events = Events::new(client.clone(), options.seat.identity.clone());
    let context = Context::new(client, world, queue, events, Maker::new(&options.image, &options.seat.namespace));
    let register_client = governor::client().await?;
    let (acting, elected) = watch::channel(false);
    let ended = tokio::select! {
        ended = election::stand(options.seat, acting, stop) => ended.map_err(RunError::from),
        () = work(context.clone(), watches.clone(), elected) => Err(RunError::Workers),
        never = governor::run(context, register_client, watches) => match never {},
    };
    served.cancel();
    ended
}

/// One that waits for no answer without end: of several API servers one may be gone without a word. What fails is
/// tried again by whoever asked, who looks first whether it was done.
async fn client() -> Result<Client, RunError> {
    let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.default_retry = false;
    config.read_timeout = Some(SILENT_LIMIT);
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(ANSWER_LIMIT)).build())
}

/// Both operators watch; only the elected one works, and only after it has listed everything.
async fn work(context: Context, watches: world::Watches, mut elected: watch::Receiver<bool>) {
    if elected.wait_for(|elected| *elected).await.is_err() {
        // The election has ended, and with it this process.
        return std::future::pending().await;
    }
    while !watches.are_listed() {
        tokio::time::sleep(LISTED_EVERY).await;
    }
    tracing::info!("this operator acts");
    if let Some(metrics) = metrics::metrics() {
        metrics.acting.set(1);
    }
    let queue = context.queue.clone();
    queue.drain(move |key| look(context.clone(), key)).await;
}

async fn look(context: Context, key: Key) -> Outcome {
    let begun = Instant::now();
    let outcome = match &key {
        Key::Master(name) => master::reconcile(&context, name).await,
        Key::Pool(name) => pool::reconcile(&context, name).await,
        Key::Repository(name) => repository::reconcile(&context, name).await,
    };
    let result = match outcome {
        Outcome::Done => "done",
        Outcome::Again(_) => "again",
        Outcome::Failed => "failed",
    };
    metrics::looked(key.kind(), result, begun.elapsed().as_secs_f64());
    outcome
}
