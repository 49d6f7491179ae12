//! `hg-operator`: keeps what SshMaster, MirrorPool and HgRepository ask for, and says what is so.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod apply;
mod certificates;
mod cli;
mod context;
mod election;
mod events;
mod governor;
mod health;
mod link;
mod master;
mod metrics;
mod names;
mod notes;
mod objects;
mod pool;
mod problem;
mod process;
mod queue;
mod repository;
mod run;
mod storage;
#[cfg(test)]
mod tests;
mod unreadable;
mod world;

fn main() -> std::process::ExitCode {
    cli::run()
}
