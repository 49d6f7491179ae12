//! `hgd`: every workload of hg-operator, one subcommand each.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::process::ExitCode;

mod access;
mod admin;
mod all_in_one;
mod arguments;
mod balancer;
mod cli;
mod commands;
mod mirror;
mod probes;
mod process;
mod pulse;
mod readiness;
mod ssh;

fn main() -> ExitCode {
    // What we and our children make holds private repositories and keys.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    cli::run()
}
