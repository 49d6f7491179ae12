//! Configuration that each role of `hgd` is started with: one JSON file per process, written by all-in-one or the
//! operator and read by `hgd ROLE --config FILE`. Unknown fields are refused; a field that is left out has the default
//! that the printed effective configuration shows.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod address;
mod balancer;
mod bounds;
mod file;
mod mirror;
mod register;
mod shared;
mod ssh;

pub use address::{Address, AddressError};
pub use balancer::{BalancerRole, SshFront};
pub use file::{LoadError, load, print, save};
pub use mirror::{MirrorRole, Web};
pub use register::{LeaseName, Register};
pub use shared::Tls;
pub use ssh::{Directory, Durability, Log, MaxLag, Mirrors, Retention, SharedVolume, SshRole};
