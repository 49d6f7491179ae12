//! A whole installation under test: `hgd all-in-one` with real hg and OpenSSH around it, on loopback, in a folder of
//! its own. Everything waits for levels with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod copies;
mod developers;
mod installation;
mod keep_alive;
mod loss;
mod mercurials;
mod power;
mod processes;
mod pusher;
mod registry;
mod soak;
mod wait;
mod wire;

pub use client::{Client, Outcome};
pub use developers::{Developers, Pushed};
pub use installation::{Installation, Options, Ready, ReadySsh, get, hgd};
pub use keep_alive::{Answer, KeepAlive};
pub use loss::for_good;
pub use mercurials::{Mercurial, mercurials};
pub use processes::{descendants, signal};
pub use pusher::{Kinds, New, Pusher, State};
pub use registry::{RegistryClient, settings};
pub use soak::Soak;
pub use wait::{DEADLINE, wait_for, wait_longer_for};
pub use wire::WirePusher;
