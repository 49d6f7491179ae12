//! The body of a web answer. A task takes it from the worker as fast as that makes it, and keeps what the client has
//! not taken yet, so that no client holds a worker.

use std::future::pending;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde::Deserialize;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until, timeout};

use crate::frame::Frame;
use crate::room::Place;
use crate::spool::Spool;
use crate::web::WebError;
use crate::workers::{Loan, Queue};

/// How long a worker whose answer is complete may take to say so.
const END_MILLISECONDS: u64 = 1000;
/// A client for whom there is no room holds its worker. While others wait for one, it has to take so much.
const HELD_WINDOW: Duration = Duration::from_secs(5);
const HELD_BYTES_PER_WINDOW: u64 = 5 * 1024 * 1024;

/// Dropped before its end, it kills the worker if that is not ready yet.
pub struct WebBody {
    /// None is the end.
    parts: Receiver<Result<Option<Bytes>, WebError>>,
    ended: bool,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    end: bool,
    /// Set when the worker could not go on after its answer had begun.
    #[serde(default)]
    abort: Option<String>,
}

impl WebBody {
    pub(crate) fn new(loan: Loan, folder: &Path, place: Place, queue: Arc<Queue>, silence: Duration) -> WebBody {
        let (to, parts) = mpsc::channel(1);
        let spool = Spool::new(folder, place);
        let carrying = Carrying { loan: Some(loan), spool, to, queue, silence, held: None };
        tokio::spawn(carrying.run());
        WebBody { parts, ended: false }
    }

    /// True when nothing more comes.
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

impl Stream for WebBody {
    type Item = Result<Bytes, WebError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "nobody carries the answer any more");
        self.parts.poll_recv(context).map(|part| {
            let part = part.unwrap_or_else(|| Err(cut().into())).transpose();
            self.ended = !matches!(part, Some(Ok(_)));
            part
        })
    }
}

struct Carrying {
    /// None when the worker has answered.
    loan: Option<Loan>,
    spool: Spool,
    to: Sender<Result<Option<Bytes>, WebError>>,
    queue: Arc<Queue>,
    silence: Duration,
    /// While there is no room: when a window began, and what the client has taken since.
    held: Option<(Instant, u64)>,
}

impl Carrying {
    async fn run(mut self) {
        let given_up = self.spool.given_up();
        let carried = tokio::select! {
            () = given_up.cancelled() => Err(WebError::TakenTooSlowly),
            carried = self.carry() => carried,
        };
        let Carrying { loan, spool, to, .. } = self;
        // Both are free before a client that takes nothing hears of it.
        drop((loan, spool));
        let last = carried.map(|()| None);
        let _nobody_listens_any_more = to.send(last).await;
    }

    async fn carry(&mut self) -> Result<(), WebError> {
        let to = self.to.clone();
        let mut quiet = Instant::now() + self.silence;
        while self.loan.is_some() || !self.spool.is_empty() {
            let full = self.spool.is_full();
            let held_until = self.held.filter(|_| full).map(|(since, _)| since + HELD_WINDOW);
            tokio::select! {
                frame = next_frame(&mut self.loan), if !full => {
                    quiet = Instant::now() + self.silence;
                    self.take(frame?).await?;
                }
                permit = to.reserve(), if !self.spool.is_empty() => {
                    // An end, not a failure: the client has gone.
                    let Ok(permit) = permit else { return self.leave().await };
                    if let Some(bytes) = self.spool.pop().await? {
                        self.taken(bytes.len() as u64);
                        permit.send(Ok(Some(bytes)));
                    }
                    if full {
                        quiet = Instant::now() + self.silence;
                    }
                }
                () = to.closed() => return self.leave().await,
                () = sleep_until(quiet), if self.loan.is_some() && !full => {
                    return Err(WebError::Silent(self.silence));
                }
                () = maybe_until(held_until) => self.check_held()?,
            }
        }
        Ok(())
    }

    async fn take(&mut self, frame: Frame) -> Result<(), WebError> {
        let part = frame.parse::<Part>()?;
        if let Some(why) = part.abort {
            return Err(WebError::Aborted(why));
        }
        if part.end {
            if let Some(loan) = self.loan.take() {
                loan.give_back();
            }
            return Ok(());
        }
        self.spool.push(frame.body).await;
        if self.spool.is_full() && self.held.is_none() {
            self.held = Some((Instant::now(), 0));
        }
        Ok(())
    }

    fn taken(&mut self, bytes: u64) {
        if self.spool.is_empty() {
            self.held = None;
        }
        if let Some((_, taken)) = &mut self.held {
            *taken += bytes;
        }
    }

    fn check_held(&mut self) -> Result<(), WebError> {
        if self.queue.waiting() > 0 && self.held.is_some_and(|(_, taken)| taken < HELD_BYTES_PER_WINDOW) {
            return Err(WebError::TakenTooSlowly);
        }
        self.held = Some((Instant::now(), 0));
        Ok(())
    }

    /// A server that has sent as many bytes as `Content-Length` promised does not ask for the end; the worker has said
    /// it, or says it at once. Anything else means that the answer is not wanted: the worker dies with the loan.
    async fn leave(&mut self) -> Result<(), WebError> {
        if self.spool.is_empty()
            && let Ok(Ok(frame)) = timeout(Duration::from_millis(END_MILLISECONDS), next_frame(&mut self.loan)).await
            && frame.parse::<Part>().is_ok_and(|part| part.end)
            && let Some(loan) = self.loan.take()
        {
            loan.give_back();
        }
        Ok(())
    }
}

/// Safe to drop and call again; waits for ever when there is no worker.
async fn next_frame(loan: &mut Option<Loan>) -> io::Result<Frame> {
    match loan.as_mut().and_then(Loan::connection) {
        Some(connection) => connection.receive().await,
        None => pending().await,
    }
}

async fn maybe_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
