//! The command line of `hg-operator`.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::election::Seat;
use crate::process;
use crate::run::{Options, run as run_operator};

#[derive(Debug, Parser)]
#[command(
    name = "hg-operator",
    version,
    about = "Mercurial hosting as Kubernetes resources: SshMaster, MirrorPool and HgRepository",
    after_help = "Example:\n  hg-operator crds | kubectl apply --server-side -f -\n\nExit codes: 0 stopped as asked, \
                  1 failed or no longer elected, 2 wrong use."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Run),
    /// Prints the definitions of the three resources.
    #[command(after_help = "Example:\n  hg-operator crds | kubectl apply --server-side -f -")]
    Crds,
}

/// Watches the resources and keeps what they ask for. Of several, one acts and the others stand by.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hg-operator run --namespace code --listen 127.0.0.1:8081")]
struct Run {
    /// Watch only this namespace; may be given several times. Without it, the whole cluster.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Vec<String>,
    /// The image of SSH instances and mirrors whose resource names none.
    #[arg(long, value_name = "IMAGE", env = "HG_OPERATOR_IMAGE", default_value = "localhost/hg-operator:dev")]
    image: String,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081")]
    listen: SocketAddr,
    /// The Lease by which one of several operators is elected.
    #[arg(long, value_name = "NAME", default_value = "hg-operator")]
    lease_name: String,
    /// The namespace that this operator itself is in.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "default")]
    own_namespace: String,
    /// What tells this operator from others.
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value_t = identity())]
    identity: String,
}

fn identity() -> String {
    format!("hg-operator-{:08x}", rand::random::<u32>())
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    process::prepare();
    match cli.command {
        Command::Run(options) => operate(options),
        Command::Crds => crds(),
    }
}

fn operate(options: Run) -> ExitCode {
    let Run { namespace, image, listen, lease_name, own_namespace, identity } = options;
    let seat = Seat { namespace: own_namespace, lease: lease_name, identity };
    let options = Options { namespaces: namespace, image, listen, seat };
    process::run(async |stop| run_operator(options, stop).await)
}

fn crds() -> ExitCode {
    match crds::manifests() {
        Ok(manifests) => {
            let each: Vec<String> = manifests.into_iter().map(|manifest| manifest.yaml).collect();
            print!("{}", each.join("---\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hg-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
