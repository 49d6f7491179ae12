//! The command line of `hgd`: which command runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::arguments::{AllInOne, Fence, Instance, Log, Promote, Role, Status, Strip, Verify};
use crate::{all_in_one, balancer, commands, mirror, process, pulse, ssh};

#[derive(Debug, Parser)]
#[command(
    name = "hgd",
    version,
    about = "Mercurial hosting: an SSH master with a standby, and HTTP mirrors that never contradict each other",
    after_help = "Example:\n  hgd all-in-one --data-dir data -f examples/quickstart.yaml\n\nExit codes: 0 done, 1 \
                  failed, 2 wrong use, 3 differences or damage found."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    AllInOne(AllInOne),
    Status(Status),
    Verify(Verify),
    Strip(Strip),
    Promote(Promote),
    Fence(Fence),
    Log(Log),
    Instance(Instance),
    /// Runs one SSH instance: the master, or a standby that follows it.
    #[command(after_help = "Example:\n  hgd ssh --config data/config/ssh-0.json")]
    Ssh(Role),
    /// Runs one read-only HTTP mirror.
    #[command(after_help = "Example:\n  hgd mirror --config data/config/mirror-0.json")]
    Mirror(Role),
    /// Runs the TCP load balancer of all-in-one.
    #[command(after_help = "Example:\n  hgd balancer --config data/config/balancer.json")]
    Balancer(Role),
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    process::prepare();
    match cli.command {
        Command::AllInOne(options) => process::run_role(all_in_one::run(options)),
        Command::Ssh(role) => start(role, ssh::run),
        Command::Mirror(role) => start(role, mirror::run),
        Command::Balancer(role) => start(role, balancer::run),
        Command::Status(options) => commands::status(&options),
        Command::Verify(options) => commands::verify(&options),
        Command::Strip(options) => commands::strip(&options),
        Command::Promote(options) => commands::promote(&options),
        Command::Fence(options) => commands::fence(&options),
        Command::Log(options) => commands::log(&options.command),
        Command::Instance(options) => commands::instance(&options.command),
    }
}

fn start<F, E>(role: Role, run: impl FnOnce(PathBuf) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: process::Fault,
{
    if let Some(Err(error)) = role.parent.map(process::die_with) {
        eprintln!("hgd: {error}");
        return ExitCode::FAILURE;
    }
    let supervised = role.parent.is_some();
    let role = run(role.config);
    process::run_role(async move {
        if supervised {
            tokio::spawn(pulse::beat());
        }
        role.await
    })
}
