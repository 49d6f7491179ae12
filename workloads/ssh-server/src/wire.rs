//! The network side of one connection. russh's session loop waits for the network without a bound and cannot be ended
//! from outside while it does, or while keys are exchanged; so its stream can: it fails once it is cut, and when
//! nothing of what is written leaves for too long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub(crate) struct Wire {
    stream: TcpStream,
    // Each side has its own, because a future wakes only whoever polled it last.
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    stall: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Called with the client's first bytes.
    heard: Option<Box<dyn FnOnce() + Send>>,
}

impl Wire {
    pub(crate) fn new(
        stream: TcpStream,
        cut: &CancellationToken,
        stall: Duration,
        heard: impl FnOnce() + Send + 'static,
    ) -> Wire {
        Wire {
            stream,
            read_cut: Box::pin(cut.clone().cancelled_owned()),
            write_cut: Box::pin(cut.clone().cancelled_owned()),
            stall,
            stalled: None,
            heard: Some(Box::new(heard)),
        }
    }

    /// Bounds a wait: what waits is written, or too old, or cut.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        if self.write_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of what is sent")))
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut by the server")
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before
            && let Some(heard) = self.heard.take()
        {
            heard();
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, from);
        self.bounded(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// The server's side, and a client that does nothing.
    async fn pair(stall: Duration, cut: &CancellationToken) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Wire::new(listener.accept().await.unwrap().0, cut, stall, || ()), client)
    }

    async fn fill(wire: &mut Wire) -> io::Error {
        let block = vec![0; 1 << 20];
        loop {
            let written = tokio::time::timeout(LONG, wire.write_all(&block)).await.expect("it ends");
            if let Err(error) = written {
                return error;
            }
        }
    }

    #[tokio::test]
    async fn a_write_that_makes_no_progress_fails() {
        let (mut wire, _client) = pair(Duration::from_millis(200), &CancellationToken::new()).await;
        assert_eq!(fill(&mut wire).await.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_cut_ends_what_waits() {
        let cut = CancellationToken::new();
        let (mut wire, _client) = pair(LONG * 2, &cut).await;
        let (filled, ()) = tokio::join!(fill(&mut wire), async { cut.cancel() });
        assert_eq!(filled.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(wire.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn a_cut_ends_a_read() {
        let cut = CancellationToken::new();
        let (mut wire, _client) = pair(LONG, &cut).await;
        let (read, ()) = tokio::join!(tokio::time::timeout(LONG, wire.read_u8()), async { cut.cancel() });
        assert_eq!(read.expect("it ends").unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
