//! The body of a web answer, read from the worker only as fast as the client takes it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::StreamExt;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::frame::Frame;
use crate::web::WebError;
use crate::workers::Lease;

/// How long a worker whose answer is complete may take to say so.
const END_MILLISECONDS: u64 = 1000;

/// At the end the worker goes back to its pool; dropped before, it is killed.
pub struct WebBody {
    lease: Option<Lease>,
    silence: Duration,
    /// Armed while we wait for the worker, not while the client makes us wait.
    alarm: Pin<Box<Sleep>>,
    waiting: bool,
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
    pub(crate) fn new(lease: Lease, silence: Duration) -> WebBody {
        WebBody { lease: Some(lease), silence, alarm: Box::pin(sleep(silence)), waiting: false }
    }

    /// True when nothing more comes.
    pub fn is_ended(&self) -> bool {
        self.lease.is_none()
    }

    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            self.waiting = true;
            let deadline = Instant::now() + self.silence;
            self.alarm.as_mut().reset(deadline);
        }
        self.alarm.as_mut().poll(context)
    }
}

/// A server that has sent as many bytes as `Content-Length` promised does not ask for the end; the worker has said
/// it, or says it at once. Anything else means that the answer is not wanted to its end: the worker dies with the
/// lease.
impl Drop for WebBody {
    fn drop(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        let mut ignored = Context::from_waker(Waker::noop());
        match lease.connection().map(|connection| connection.frames().poll_next_unpin(&mut ignored)) {
            Some(Poll::Ready(Some(Ok(frame)))) if is_end(&frame) => lease.give_back(),
            Some(Poll::Pending) => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(await_end(lease));
                }
            }
            _ => {}
        }
    }
}

async fn await_end(mut lease: Lease) {
    let Some(connection) = lease.connection() else { return };
    let last = timeout(Duration::from_millis(END_MILLISECONDS), connection.receive()).await;
    if last.is_ok_and(|frame| frame.is_ok_and(|frame| is_end(&frame))) {
        lease.give_back();
    }
}

fn is_end(frame: &Frame) -> bool {
    frame.parse::<Part>().is_ok_and(|part| part.end)
}

impl Stream for WebBody {
    type Item = Result<Bytes, WebError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(connection) = self.lease.as_mut().and_then(Lease::connection) else { return Poll::Ready(None) };
        let frame = match connection.frames().poll_next_unpin(context) {
            Poll::Pending => {
                ready!(self.poll_alarm(context));
                self.lease = None;
                return Poll::Ready(Some(Err(WebError::Silent(self.silence))));
            }
            Poll::Ready(frame) => frame,
        };
        self.waiting = false;
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ended in the middle of its answer");
        let parsed = frame.unwrap_or_else(|| Err(cut())).and_then(|frame| Ok((frame.parse::<Part>()?, frame.body)));
        match parsed {
            Ok((Part { abort: Some(why), .. }, _)) => {
                self.lease = None;
                Poll::Ready(Some(Err(WebError::Aborted(why))))
            }
            Ok((Part { end: false, .. }, bytes)) => Poll::Ready(Some(Ok(bytes))),
            Ok((Part { end: true, .. }, _)) => {
                if let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
                Poll::Ready(None)
            }
            Err(error) => {
                self.lease = None;
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }
}
