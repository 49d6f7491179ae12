//! A balancer between real sockets, with a master that does as the test says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bytes;
mod endpoints;
mod setting;
