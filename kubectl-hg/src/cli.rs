//! The command line of `kubectl hg`: which command runs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kube::Client;

use crate::arguments::{CommandError, Fence, Promote, Status};
use crate::{fence, promote, status};

#[derive(Debug, Parser)]
#[command(
    name = "kubectl hg",
    version,
    about = "Looks at SshMasters, makes standbys master, and fences a lost master",
    after_help = "Example:\n  kubectl hg status hg\n  kubectl hg promote hg\n  kubectl hg fence hg --confirm\n\nExit \
                  codes: 0 done, 1 failed, 2 wrong use."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(Status),
    Promote(Promote),
    Fence(Fence),
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let outcome = runtime.block_on(async {
        let client = Client::try_default().await.map_err(|error| CommandError::Connect(error.to_string()))?;
        match &cli.command {
            Command::Status(options) => status::status(client, options).await,
            Command::Promote(options) => promote::promote(client, options).await,
            Command::Fence(options) => fence::fence(client, options).await,
        }
    });
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("kubectl hg: {error}");
    ExitCode::FAILURE
}
