//! Process: what it does first and last. One crypto provider, structured logs, a runtime, signals.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// Without what kube says of each request that fails: whoever asked for it says so too, and what comes of it.
const LOGGED: &str = "info,kube_client=off";

/// Logs go to stderr, one JSON object a line; `RUST_LOG` filters them (default [`LOGGED`]).
pub fn prepare() {
    transport::install_crypto_provider();
    let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter);
    let _already = subscriber.with_writer(io::stderr).try_init();
}

/// Runs until its end; the watch that it is given turns true at the first SIGTERM or SIGINT.
pub fn run<E: std::fmt::Display>(program: impl AsyncFnOnce(watch::Receiver<bool>) -> Result<(), E>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let ended = runtime.block_on(async {
        match stop_on_signal() {
            Ok(stop) => program(stop).await.map_err(|error| failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    });
    // Watches and requests under way are not waited for.
    runtime.shutdown_background();
    ended.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    tracing::error!(%error, "hg-operator ends");
    eprintln!("hg-operator: {error}");
    ExitCode::FAILURE
}

fn stop_on_signal() -> io::Result<watch::Receiver<bool>> {
    let (asked, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.send_replace(true);
        // Without a sender the watch would say nothing more, which nobody waits for; it is kept all the same.
        asked.closed().await;
    });
    Ok(stop)
}
