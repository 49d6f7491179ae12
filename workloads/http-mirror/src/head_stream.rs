//! A connection on its way into the HTTP library and out of it: addresses are put into a form that the library takes,
//! the memory of headers is bounded over all connections, and what the library refuses gets a sentence and a line in
//! the log.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use http::{Method, StatusCode};
use mercurial::Place;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::access::Access;
use crate::front::Front;
use crate::heads::Heads;

const READ_BYTES: usize = 8 * 1024;
/// Free bytes of each header, which are not counted.
const FREE_HEAD_BYTES: u64 = 16 * 1024;

pub(crate) struct HeadStream<S> {
    stream: S,
    front: Arc<Front>,
    client: IpAddr,
    heads: Heads,
    /// Read, and not taken by the library yet.
    read: Vec<u8>,
    taken: usize,
    place: Place,
    counted: u64,
    /// Requests that the library has handed to us.
    answered: Arc<AtomicU64>,
    /// Sent instead of what the library said.
    instead: Vec<u8>,
}

impl<S> HeadStream<S> {
    pub(crate) fn new(stream: S, front: Arc<Front>, client: IpAddr, answered: Arc<AtomicU64>) -> HeadStream<S> {
        let place = front.heads.enter(&client.to_string());
        let (heads, read, instead) = (Heads::default(), Vec::new(), Vec::new());
        HeadStream { stream, front, client, heads, read, taken: 0, place, counted: 0, answered, instead }
    }

    /// False: the headers of this client, or of all, have more memory than they may.
    fn count(&mut self) -> bool {
        let bytes = self.heads.head_bytes.saturating_sub(FREE_HEAD_BYTES);
        if bytes < self.counted {
            self.place.empty();
            self.counted = 0;
        }
        let more = bytes - self.counted;
        self.counted = bytes;
        !self.place.given_up().is_cancelled() && (more == 0 || self.place.grow(more))
    }

    /// Answers what to say instead of `said`, if that is the library's own refusal.
    fn refusal(&self, said: &[u8]) -> Option<Vec<u8>> {
        if self.heads.begun <= self.answered.load(Ordering::Relaxed) {
            return None;
        }
        let said = std::str::from_utf8(said).ok()?;
        let status: StatusCode = said.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let is_own = said.contains("content-length: 0\r\n") && !said.contains("content-type");
        if !is_own || !status.is_client_error() {
            return None;
        }
        let line = String::from_utf8_lossy(&self.heads.request_line);
        let mut words = line.split_whitespace();
        let method = words.next().and_then(|method| method.parse().ok()).unwrap_or(Method::GET);
        let access = Access::new(self.front.metrics.clone(), self.client, method, words.next().unwrap_or_default());
        access.refused(status);
        let sentence = match status {
            StatusCode::URI_TOO_LONG => "the request's address is too long\n".to_owned(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                let limits = &self.front.limits;
                format!("a request has at most {} headers of {} bytes in all\n", limits.headers, limits.header_bytes)
            }
            _ => "this is not a request as HTTP has them\n".to_owned(),
        };
        let length = sentence.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\r\n{sentence}"
        );
        Some(head.into_bytes())
    }
}

impl<S: AsyncWrite + Unpin> HeadStream<S> {
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.instead))?;
            self.instead.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.taken == this.read.len() {
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer))?;
            this.taken = 0;
            this.read.clear();
            this.heads.follow(buffer.filled(), &mut this.read);
            if !this.count() {
                tracing::info!(client = %this.client, "a connection is ended: headers have more memory than they may");
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
        }
        let rest = this.read.get(this.taken..).unwrap_or_default();
        let length = rest.len().min(to.remaining());
        to.put_slice(rest.get(..length).unwrap_or_default());
        this.taken += length;
        if this.taken == this.read.len() {
            // Idle connections keep nothing.
            (this.taken, this.read) = (0, Vec::new());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_instead(context))?;
        if let Some(instead) = this.refusal(bytes) {
            this.instead = instead;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_instead(context))?;
        if let Some(first) = slices.first()
            && let Some(instead) = this.refusal(first)
        {
            this.instead = instead;
            return Poll::Ready(Ok(first.len()));
        }
        Pin::new(&mut this.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_instead(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_instead(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}
