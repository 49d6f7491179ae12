//! A whole installation under test: `hgd all-in-one` with real hg and OpenSSH around it, on loopback, in a folder of
//! its own. Everything waits for levels with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod installation;
mod mercurials;
mod wait;

pub use client::{Client, Outcome};
pub use installation::{Installation, Options};
pub use mercurials::{Mercurial, mercurials};
pub use wait::{DEADLINE, wait_for};
