//! One line per request in the log, and its numbers in the metrics, when its answer has ended one way or another.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};

use crate::body::{BodyError, FrontBody};
use crate::metrics::{FrontMetrics, Kind};
use crate::places::Busy;

/// Longer ones are cut in the log.
const MAX_LOGGED_PATH_BYTES: usize = 1024;

/// Filled in while the request is answered; written when it is dropped.
pub(crate) struct Access {
    metrics: FrontMetrics,
    begun: Instant,
    client: IpAddr,
    method: Method,
    path: String,
    pub repository: Option<String>,
    pub command: Option<String>,
    pub kind: Kind,
    /// 0 while there is no answer; the client has gone when that stays.
    status: u16,
    bytes: u64,
    complete: bool,
    /// Keeps the connection from being idle for as long as the request is answered.
    pub busy: Option<Busy>,
}

impl Access {
    pub(crate) fn new(metrics: FrontMetrics, client: IpAddr, method: Method, path: &str) -> Access {
        let mut end = path.len().min(MAX_LOGGED_PATH_BYTES);
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        Access {
            metrics,
            begun: Instant::now(),
            client,
            method,
            path: path[..end].to_owned(),
            repository: None,
            command: None,
            kind: Kind::Refused,
            status: 0,
            bytes: 0,
            complete: false,
            busy: None,
        }
    }

    /// Answered before it reached the front.
    pub(crate) fn refused(mut self, status: http::StatusCode) {
        (self.status, self.complete) = (status.as_u16(), true);
    }

    pub(crate) fn follow(mut self, response: Response<FrontBody>) -> Response<AccessBody> {
        self.status = response.status().as_u16();
        response.map(|body| AccessBody { complete_at: body.size_hint().exact(), body, access: self })
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let seconds = self.begun.elapsed();
        let class = self.kind.as_str();
        let metrics = &self.metrics;
        metrics.requests.with_label_values(&[class, &self.status.to_string()]).inc();
        metrics.seconds.with_label_values(&[class]).observe(seconds.as_secs_f64());
        metrics.bytes.with_label_values(&[class]).inc_by(self.bytes);
        // Asked for every second, by balancers.
        if self.kind == Kind::Own {
            return;
        }
        tracing::info!(
            target: "access",
            method = %self.method,
            path = self.path,
            repository = self.repository,
            command = self.command,
            class,
            status = self.status,
            bytes = self.bytes,
            milliseconds = u64::try_from(seconds.as_millis()).unwrap_or(u64::MAX),
            client = %self.client,
            complete = self.complete,
        );
    }
}

pub(crate) struct AccessBody {
    body: FrontBody,
    access: Access,
    complete_at: Option<u64>,
}

impl Body for AccessBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        match &poll {
            Poll::Ready(Some(Ok(frame))) => {
                self.access.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.access.complete = self.complete_at.is_some_and(|bytes| self.access.bytes >= bytes);
            }
            Poll::Ready(Some(Err(error))) => tracing::warn!(%error, path = self.access.path, "an answer was cut"),
            Poll::Ready(None) => self.access.complete = true,
            Poll::Pending => {}
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
