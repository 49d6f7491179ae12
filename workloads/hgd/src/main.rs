//! `hgd`: every workload of hg-operator, one subcommand each.

use std::process::ExitCode;

mod all_in_one;
mod balancer;
mod cli;
mod commands;
mod mirror;
mod probes;
mod process;
mod ssh;

fn main() -> ExitCode {
    cli::run()
}
