//! `kubectl hg`: what a person asks of an installation on Kubernetes. It speaks to the API server only.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod arguments;
mod cli;
mod fence;
mod promote;
mod status;

fn main() -> std::process::ExitCode {
    cli::run()
}
