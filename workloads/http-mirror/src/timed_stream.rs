//! A connection that does not wait for ever: for its first bytes, or for a client that does not take what we send.
//! Waiting for the next request and for the rest of a header is hyper's to limit. A client that takes a little now and
//! then has to take so much in all the time that it makes us wait.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// hyper looks at so many bytes to tell HTTP/1 from HTTP/2, without a limit of its own.
const PREFACE_BYTES: usize = 24;
/// Slower than any line; who reads so slowly keeps what was made for him for ever.
const MIN_BYTES_PER_SECOND: u64 = 1024;

pub(crate) struct TimedStream<S> {
    stream: S,
    alarm: Pin<Box<Sleep>>,
    /// How long writes may wait in all, before so many bytes must have been taken.
    stalled: Duration,
    waited: Duration,
    bytes: u64,
    /// Since when a write waits.
    waiting: Option<Instant>,
    /// Armed at the beginning until the first bytes are here.
    first: Option<usize>,
}

impl<S> TimedStream<S> {
    pub(crate) fn new(stream: S, first: Duration, stalled: Duration) -> TimedStream<S> {
        let (alarm, waited) = (Box::pin(sleep(first)), Duration::ZERO);
        TimedStream { stream, alarm, stalled, waited, bytes: 0, waiting: None, first: Some(0) }
    }

    fn late<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match self.alarm.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn written(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.first = None;
        if let Poll::Ready(written) = poll {
            if let Some(since) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            self.bytes += written.as_ref().map_or(0, |bytes| *bytes as u64);
            return Poll::Ready(written);
        }
        if self.waiting.is_none() {
            self.wait();
        }
        ready!(self.alarm.as_mut().poll(context));
        if self.bytes < self.stalled.as_millis() as u64 * MIN_BYTES_PER_SECOND / 1000 {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        self.wait();
        self.late(context)
    }

    fn wait(&mut self) {
        let now = Instant::now();
        self.waiting = Some(now);
        self.alarm.as_mut().reset(now + self.stalled.saturating_sub(self.waited));
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
        Pin::new(&mut self.stream).poll_flush(context)
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

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_cut_and_idle_time_does_not_count() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut stream = TimedStream::new(ours, LONG, SHORT);
        stream.write_all(&[0; 64]).await.unwrap();
        tokio::time::sleep(10 * SHORT).await;
        let reader = tokio::spawn(async move {
            for byte in 0.. {
                tokio::time::sleep(SHORT / 2).await;
                if theirs.read_u8().await.is_err() {
                    return byte;
                }
            }
            0
        });
        let written = stream.write_all(&[0; 640]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(stream);
        assert!(reader.await.unwrap() > 1);
    }
}
