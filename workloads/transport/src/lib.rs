//! How our processes speak to each other: HTTP/2 over TLS 1.3 in which both sides show a certificate of the
//! installation's own authority, and length-prefixed messages over bodies that are open both ways.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod authority;
mod certificate;
mod client;
mod download;
mod host;
mod identity;
mod json;
pub mod messages;
mod pool;
pub mod proxied;
mod server;
mod store;

pub use axum::body::Body;
pub use hyper::body::Incoming;
pub use tokio_util::sync::CancellationToken;

pub use authority::{Authority, AuthorityError, Certified};
pub use certificate::Validity;
pub use client::{Client, ClientError, Target};
pub use identity::{Identity, IdentityError};
pub use json::MAX_JSON_BYTES;
pub use server::{DRAIN_SECONDS, MAX_CONNECTIONS, Peer, serve, serve_plain};

/// Makes aws-lc-rs the process's cryptography. Every `main` calls it first: with two providers in the graph rustls
/// panics at its first use otherwise. Calling it again changes nothing.
pub fn install_crypto_provider() {
    let _already_there = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// One stream may be this far ahead of its reader.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// All streams of one connection together.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Send buffer of one stream.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;
const FRAME_BYTES: u32 = 256 * 1024;
const MAX_STREAMS: u32 = 1024;
const PING_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
/// With the interval: a dead peer is noticed within three seconds.
const PING_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
