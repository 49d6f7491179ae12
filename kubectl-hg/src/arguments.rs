//! Arguments of each command of `kubectl hg`, and why one fails.

use clap::{Args, ValueEnum};

/// Which SshMaster.
#[derive(Debug, Args)]
pub struct Which {
    /// The SshMaster's name.
    pub name: String,
    /// Its namespace; without it, the one of the current context.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

/// Shows who is master, the in-sync set, the last promotion, and conditions.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl hg status hg -n code\n  kubectl hg status hg -o json")]
pub struct Status {
    #[command(flatten)]
    pub which: Which,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Makes a standby master, in order: the old master finishes what it took first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl hg promote hg\n  kubectl hg promote hg hg-ssh-1")]
pub struct Promote {
    #[command(flatten)]
    pub which: Which,
    /// Which standby; without it, one that is in sync.
    pub instance: Option<String>,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Says that a silent master is off, where all instances have one volume (storage.mode: Shared); or that whoever does
/// not answer is lost, while the register is missing.
///
/// The operator then has another instance open the volume, as soon as the lease of the old one has run out. Make sure
/// first that the master's pod, or its node, is off: one that only hangs could go on writing. Without --confirm
/// nothing is done.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl hg fence hg\n  kubectl hg fence hg --confirm")]
pub struct Fence {
    #[command(flatten)]
    pub which: Which,
    /// The master is off: I have made sure.
    #[arg(long)]
    pub confirm: bool,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("the cluster cannot be reached: {0}")]
    Connect(String),
    #[error("there is no SshMaster '{name}' in namespace {namespace}")]
    NoMaster { name: String, namespace: String },
    #[error("there is no register {0}: the Ready condition of the SshMaster says why")]
    NoRegister(String),
    #[error("{0}")]
    Register(#[from] register::ReadError),
    #[error("{0}")]
    Name(#[from] protocol::NameError),
    #[error("{0}")]
    Refused(String),
    #[error("the API server refuses: {0}")]
    Api(#[from] kube::Error),
    #[error("the answer cannot be printed: {0}")]
    Print(#[from] serde_json::Error),
}
