//! A connection that does not wait for ever: for its first bytes, or for a client that does not take what we send.
//! Waiting for the next request and for the rest of a header is hyper's to limit; there is no limit on the whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// hyper looks at so many bytes to tell HTTP/1 from HTTP/2, without a limit of its own.
const PREFACE_BYTES: usize = 24;

pub(crate) struct TimedStream<S> {
    stream: S,
    alarm: Pin<Box<Sleep>>,
    /// How long a write may make no progress.
    stalled: Duration,
    /// Armed at the beginning until the first bytes are here.
    first: Option<usize>,
    writing: bool,
}

impl<S> TimedStream<S> {
    pub(crate) fn new(stream: S, first: Duration, stalled: Duration) -> TimedStream<S> {
        TimedStream { stream, alarm: Box::pin(sleep(first)), stalled, first: Some(0), writing: false }
    }

    fn late<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match self.alarm.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn written<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.first = None;
        if poll.is_ready() {
            self.writing = false;
            return poll;
        }
        if !self.writing {
            self.writing = true;
            let deadline = Instant::now() + self.stalled;
            self.alarm.as_mut().reset(deadline);
        }
        self.late(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        match (Pin::new(&mut self.stream).poll_read(context, to), self.first) {
            (Poll::Pending, Some(_)) => self.late(context),
            (Poll::Ready(Ok(())), Some(seen)) => {
                let seen = seen + to.filled().len() - before;
                self.first = (seen < PREFACE_BYTES).then_some(seen);
                Poll::Ready(Ok(()))
            }
            (poll, _) => poll,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_cut() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut stream = TimedStream::new(ours, SHORT, LONG);
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_and_one_that_reads_slowly_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut stream = TimedStream::new(ours, LONG, SHORT);
        let reader = tokio::spawn(async move {
            let mut bytes = [0; 64];
            for _ in 0..10 {
                tokio::time::sleep(SHORT / 2).await;
                theirs.read_exact(&mut bytes).await.unwrap();
            }
            theirs
        });
        stream.write_all(&[0; 640]).await.unwrap();
        let _theirs = reader.await.unwrap();
        assert_eq!(stream.write_all(&[0; 640]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
