//! The follower's end of the replication stream: one exchange with the master.

use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use interface::paths;
use protocol::Generation;
use protocol::stream::{FromFollower, FromMaster};
use serde::Deserialize;
use tokio::time::timeout;
use transport::messages::{MessageError, MessageReader, MessageSender, channel};
use transport::{Client, ClientError, Target};

/// With a heartbeat each half second, a master that says nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(3);
/// How often the other SSH instances are asked whether one of them is master meanwhile.
const PROBE: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{to} does not answer as master: {status}")]
    Refused { to: Target, status: http::StatusCode },
    #[error("the master's stream broke: {0}")]
    Message(#[from] MessageError),
    #[error("the master said nothing for {} s", SILENCE.as_secs())]
    Silence,
    #[error("the master ended the stream")]
    Ended,
    #[error("the master's first answer is not Welcome")]
    NoWelcome,
    #[error("generation {0} is over: another instance is master of a later one")]
    Overtaken(Generation),
}

pub struct Stream {
    pub sender: MessageSender<FromFollower>,
    reader: MessageReader<FromMaster, Incoming>,
}

impl Stream {
    /// Says hello; the first message read is `Welcome`.
    pub async fn open(client: &Client, to: &Target, hello: &FromFollower) -> Result<Stream, StreamError> {
        let (sender, body) = channel();
        sender.send(hello).await?;
        let request = http::Request::post(paths::FOLLOW).body(Body::from(body));
        let request = request.map_err(|_| StreamError::NoWelcome)?;
        let response = timeout(SILENCE, client.request(to, request)).await.map_err(|_| StreamError::Silence)??;
        if !response.status().is_success() {
            return Err(StreamError::Refused { to: to.clone(), status: response.status() });
        }
        Ok(Stream { sender, reader: MessageReader::new(response.into_body()) })
    }

    /// Cancel-safe but for the silence being measured anew.
    pub async fn next(&mut self) -> Result<FromMaster, StreamError> {
        match timeout(SILENCE, self.reader.next()).await {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(StreamError::Ended),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StreamError::Silence),
        }
    }
}

/// Instance: what an SSH instance says of itself, as far as it matters here.
#[derive(Deserialize)]
struct Instance {
    generation: Generation,
    /// Open: it takes pushes.
    open: bool,
}

/// Until one of `instances` takes pushes in a later generation. Whom this one follows may be the last to know: it may
/// be cut off from the others, but not from here.
pub async fn overtaken(client: Client, instances: Vec<Target>, generation: Generation) -> StreamError {
    loop {
        tokio::time::sleep(PROBE).await;
        for instance in &instances {
            let answer = timeout(PROBE, client.get_json::<Instance>(instance, paths::INSTANCE)).await;
            if let Ok(Ok(said)) = answer
                && said.open
                && said.generation > generation
            {
                return StreamError::Overtaken(generation);
            }
        }
    }
}

/// Turn: which SSH instance to ask next, and how long to wait before it.
pub struct Turn {
    masters: Vec<Target>,
    next: usize,
    backoff: Duration,
}

impl Turn {
    pub fn new(masters: Vec<Target>) -> Turn {
        Turn { masters, next: 0, backoff: FIRST_BACKOFF }
    }

    /// None when no SSH instance is known.
    pub fn target(&self) -> Option<&Target> {
        self.masters.get(self.next % self.masters.len().max(1))
    }

    /// All but the one to ask now.
    pub fn others(&self) -> Vec<Target> {
        let now = self.target();
        self.masters.iter().filter(|master| Some(*master) != now).cloned().collect()
    }

    /// After a failure: the next one, and after a whole round a growing pause.
    pub async fn failed(&mut self) {
        self.next += 1;
        if self.next.is_multiple_of(self.masters.len().max(1)) {
            tokio::time::sleep(self.backoff).await;
            self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    pub fn succeeded(&mut self) {
        self.backoff = FIRST_BACKOFF;
    }
}
