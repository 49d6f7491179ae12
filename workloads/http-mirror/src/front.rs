//! Front: what requests are answered from, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use mercurial::{Room, RoomBounds, WebPool};
use tokio::sync::watch;

use crate::completeness::Completeness;
use crate::metrics::FrontMetrics;
use crate::peers::Peers;
use crate::routes::Routes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    /// Something in front of us ends TLS.
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    /// Share of one client.
    pub connections_per_client: usize,
    pub headers: usize,
    /// Header bytes of one request together, and of what is kept for one slow reader.
    pub header_bytes: usize,
    pub body_bytes: usize,
    /// For a request's header, also when it is the next one on a connection.
    pub header_wait: Duration,
    /// For a request's body, beside a second for each 16 KiB of it.
    pub body_wait: Duration,
    /// How long a client may keep us waiting with its answer, before it must have taken a KiB for each second.
    pub write_wait: Duration,
    /// Answers on an older connection say that they are its last.
    pub last_answer_age: Duration,
    /// An older connection takes no further request: its client connects anew, to whichever instance is in the Service
    /// by then. Whoever takes an instance out of its Service counts on less than 30 s.
    pub connection_age: Duration,
    /// How long connections may live on after shutdown has begun.
    pub drain: Duration,
    /// How long a request waits for changesets that it names and that are not here yet.
    pub unknown_wait: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 2048,
            connections_per_client: 1024,
            headers: 1000,
            header_bytes: 256 * 1024,
            body_bytes: 16 * 1024 * 1024,
            header_wait: Duration::from_secs(30),
            body_wait: Duration::from_secs(30),
            write_wait: Duration::from_secs(60),
            last_answer_age: Duration::from_secs(15),
            connection_age: Duration::from_secs(25),
            drain: Duration::from_secs(25),
            unknown_wait: Duration::from_secs(1),
        }
    }
}

/// Everything that changes comes as a watched level.
pub struct Front {
    pub routes: watch::Receiver<Arc<Routes>>,
    /// Changes whenever something was applied here.
    pub applied: watch::Receiver<u64>,
    /// True: this mirror has caught up, and should be sent requests.
    pub ready: watch::Receiver<bool>,
    pub peers: Peers,
    pub web: WebPool,
    pub metrics: FrontMetrics,
    pub limits: Limits,
    pub scheme: Scheme,
    pub completeness: Completeness,
    /// A balancer on this machine says whose a connection is.
    pub behind_balancer: bool,
    pub(crate) bodies: Room,
    pub(crate) heads: Room,
}

/// Bodies of requests in memory: two of the longest of one client.
const BODIES: RoomBounds = RoomBounds { client_bytes: 32 * 1024 * 1024, all_bytes: 128 * 1024 * 1024 };
/// Heads that are longer than usual ones.
const HEADS: RoomBounds = RoomBounds { client_bytes: 16 * 1024 * 1024, all_bytes: 64 * 1024 * 1024 };

impl Front {
    pub fn new(
        routes: watch::Receiver<Arc<Routes>>,
        applied: watch::Receiver<u64>,
        ready: watch::Receiver<bool>,
        peers: Peers,
        web: WebPool,
        metrics: FrontMetrics,
    ) -> Front {
        let (bodies, heads) = (Room::new("request bodies", BODIES), Room::new("headers", HEADS));
        let (limits, scheme, completeness) = (Limits::default(), Scheme::Http, Completeness::default());
        Front {
            routes,
            applied,
            ready,
            peers,
            web,
            metrics,
            limits,
            scheme,
            completeness,
            behind_balancer: false,
            bodies,
            heads,
        }
    }
}
