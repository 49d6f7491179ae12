//! The server as people meet it: with OpenSSH's client and Mercurial.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod commands;
mod ends;
mod limits;
mod lines;
mod logins;
mod mercurial;
mod transfer;
