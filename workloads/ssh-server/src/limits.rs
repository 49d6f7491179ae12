//! Limits of one server. The defaults are for an installation with a few hundred people.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections that are logged in. For a further one, one without a command is ended.
    pub connections: usize,
    /// Connections of one account. More than `commands_per_user`, so that one without a command is found.
    pub connections_per_user: usize,
    /// Connections that are served and not logged in. Further ones wait until one has logged in or takes too long.
    pub unauthenticated: usize,
    /// Unauthenticated connections of one IPv4 address, or of one IPv6 network of 64 bits.
    pub unauthenticated_per_address: usize,
    /// Further ones are closed, those that have waited longest first, of the address of which most wait.
    pub waiting: usize,
    /// From the connection to the login; also how long one waits.
    pub handshake: Duration,
    /// Commands of one account at a time.
    pub commands_per_user: usize,
    /// Channels of one connection at a time (as sshd's MaxSessions).
    pub sessions_per_connection: usize,
    /// How long a connection may stay without a running command.
    pub idle: Duration,
    /// A client that says nothing is asked this often whether it lives.
    pub keepalive: Duration,
    /// How long the network may take nothing of what we send. (A client that reads slowly takes something: it has its
    /// window to fill, and then nothing is sent.)
    pub stall: Duration,
    /// After the shutdown: how long running commands may go on.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 500,
            connections_per_user: 64,
            unauthenticated: 100,
            unauthenticated_per_address: 60,
            waiting: 400,
            handshake: Duration::from_secs(20),
            commands_per_user: 50,
            sessions_per_connection: 10,
            idle: Duration::from_secs(600),
            keepalive: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(20),
        }
    }
}

/// A client is cut off after so many unanswered questions (as the reference).
pub(crate) const KEEPALIVE_QUESTIONS: usize = 6;
/// Window that a client may send ahead: push speed is at most this per round trip.
pub(crate) const WINDOW_BYTES: u32 = 16 * 1024 * 1024;
pub(crate) const PACKET_BYTES: u32 = 32 * 1024;
/// Packets that wait for Mercurial to read them, hence 512 KiB for each connection; then TCP slows the client down.
pub(crate) const WAITING_PACKETS: usize = 16;
/// Read at once from Mercurial.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// A refused key costs this long, so that an account that does not exist takes as long as one that does.
pub(crate) const REJECTION: Duration = Duration::from_millis(100);
pub(crate) const AUTHENTICATION_ATTEMPTS: usize = 10;
/// A balancer says at once whose a connection is; who is silent for longer is not behind it.
pub(crate) const FIRST_LINE: Duration = Duration::from_secs(1);
/// How often it is looked up whether a connection's key still opens its account.
pub(crate) const ACCOUNT_LOOK: Duration = Duration::from_secs(1);
/// Goodbye: the time that a connection has for it when everything else is over.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);
/// Shorter RSA keys are not accepted.
pub(crate) const MIN_RSA_BITS: u32 = 2048;
