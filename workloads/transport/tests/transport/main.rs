//! Two real ends over loopback TCP and TLS.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod download;
mod duplex;
mod installation;
mod liveness;
mod trust;
