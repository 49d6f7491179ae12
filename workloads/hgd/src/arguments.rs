//! Arguments of each command of `hgd`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub struct Role {
    /// The role's configuration, written by whoever starts it.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// End when the process with this id, which started this one, ends.
    #[arg(long, value_name = "PID")]
    pub parent: Option<u32>,
}

/// Runs a whole installation on this machine, without Kubernetes.
///
/// Reads the same resources as the operator and runs master, standby, mirrors and load balancer as child processes.
/// Ctrl-C drains and stops everything; a second start with the same data directory continues where it was.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hgd all-in-one --data-dir data -f examples/quickstart.yaml")]
pub struct AllInOne {
    /// Where everything is kept; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// YAML with SshMaster, MirrorPool and HgRepository resources.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Where pushes are taken; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2222")]
    pub ssh: SocketAddr,
    /// Where the load balancer listens; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// The Python interpreter that can import the Mercurial to use.
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/python3", env = "HGD_PYTHON")]
    pub python: PathBuf,
    /// Written once everything is ready: where to push, clone and look, as JSON.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

/// How to find a running all-in-one.
#[derive(Debug, Args)]
pub struct Running {
    /// The data directory of the running `hgd all-in-one`.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

/// How to find the master, and what to show it.
#[derive(Debug, Args)]
pub struct Master {
    #[command(flatten)]
    pub running: Running,
    /// The configuration of the SSH instance beside which this runs, such as in the master's pod, instead.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub config: Option<PathBuf>,
}

/// Shows master, standby, mirrors, lag and repositories.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hgd status --data-dir data\n  hgd status --data-dir data -o json")]
pub struct Status {
    #[command(flatten)]
    pub running: Running,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Compares the content of every repository on every instance; exit code 3 when any differs.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hgd verify --data-dir data")]
pub struct Verify {
    #[command(flatten)]
    pub running: Running,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Removes changesets and their descendants from a repository, on every instance.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hgd strip --data-dir data projects/tools 0d2f6e2b6f8c5c0f2f1a36d2f4a0f2f5e0a1b2c3"
)]
pub struct Strip {
    #[command(flatten)]
    pub master: Master,
    /// The repository's path.
    pub repository: String,
    /// Full hashes (40 digits).
    #[arg(required = true)]
    pub changesets: Vec<String>,
}

/// Makes a standby master, in order: the old master finishes what it took first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hgd promote --data-dir data\n  hgd promote --data-dir data ssh-1 -o json")]
pub struct Promote {
    #[command(flatten)]
    pub running: Running,
    /// Which standby; without it, one that is in sync.
    pub instance: Option<String>,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Says that a silent master is off, where all SSH instances have one volume (storage.mode: Shared); or that whoever
/// does not answer is lost, while the register is missing.
///
/// Another instance then opens the volume. Make sure first that the master's process, and every process that it has
/// started, has ended: one that only hangs could go on writing. Without --confirm nothing is done.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hgd fence --data-dir data\n  hgd fence --data-dir data --confirm")]
pub struct Fence {
    #[command(flatten)]
    pub running: Running,
    /// The master is off: I have made sure.
    #[arg(long)]
    pub confirm: bool,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Reads a replication log on disk.
#[derive(Debug, Args)]
pub struct Log {
    #[command(subcommand)]
    pub command: LogCommand,
}

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Prints the records, one a line.
    #[command(after_help = "Example:\n  hgd log dump data/ssh-0/log/replication --from 10")]
    Dump {
        directory: PathBuf,
        /// The first offset to print.
        #[arg(long, default_value_t = 1)]
        from: u64,
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Checks checksums, order and blobs; exit code 3 when anything is damaged.
    #[command(after_help = "Example:\n  hgd log verify data/ssh-0/log/replication")]
    Verify { directory: PathBuf },
    /// Gives up a record that nobody can apply: its repository goes on without it, on every instance and mirror.
    ///
    /// Says what is lost, and does nothing without --lose.
    #[command(after_help = "Example:\n  hgd log skip --data-dir data projects/tools 117")]
    Skip(Skip),
}

#[derive(Debug, Args)]
pub struct Skip {
    #[command(flatten)]
    pub master: Master,
    /// The repository's path.
    pub repository: String,
    /// Of the record, as `hgd log dump` and the instances' error lines have it.
    pub offset: u64,
    /// Lose what was said.
    #[arg(long)]
    pub lose: bool,
}

/// Changes an instance's data directory while its process does not run.
#[derive(Debug, Args)]
pub struct Instance {
    #[command(subcommand)]
    pub command: InstanceCommand,
}

#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// Makes a copy, or what was restored from a snapshot, a newcomer, which follows until it has caught up.
    ///
    /// Without this it is taken for the disk that it was copied from, and for having what that one has acknowledged.
    #[command(after_help = "Example:\n  hgd instance new-id data/ssh-1")]
    NewId { directory: PathBuf },
}
