//! What every role's process does first and last: one crypto provider, structured logs, a runtime, signals, and dying
//! with the supervisor that started it.

use std::io;
use std::process::ExitCode;

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;
use transport::{Identity, IdentityError};

/// True once the process was asked to stop.
pub type Shutdown = watch::Receiver<bool>;

/// Installs what all roles share. Logs go to stderr, one JSON object a line; `HGD_LOG` filters them (default `info`).
pub fn prepare() {
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let filter = EnvFilter::try_from_env("HGD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter);
    let _already = subscriber.with_writer(io::stderr).try_init();
}

/// The certificates that a role is told to show.
pub fn identity(tls: &config::Tls) -> Result<Identity, IdentityError> {
    match &tls.name {
        Some(name) => Identity::open_named(&tls.directory, name),
        None => Identity::open(&tls.directory),
    }
}

/// Runs a role to its end and turns its error into one line and exit code 1.
pub fn run<F, E>(role: F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hgd: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hgd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A watch that turns true at the first SIGTERM or SIGINT; the second one ends the process at once.
pub fn shutdown_on_signal() -> io::Result<Shutdown> {
    let (asked, shutdown) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                std::process::exit(130);
            }
            asked.send_replace(true);
        }
    });
    Ok(shutdown)
}

/// Waits until the process was asked to stop.
pub async fn asked(shutdown: &mut Shutdown) {
    let _sender_gone_counts_as_asked = shutdown.wait_for(|asked| *asked).await;
}

/// Ends this process with SIGKILL when its parent ends, so that a killed supervisor leaves nothing behind.
pub fn die_with(parent: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = rustix::process::getppid().map(Pid::as_raw_nonzero);
    if now.map(|pid| pid.get().unsigned_abs()) != Some(parent) {
        return Err(io::Error::other("the process that started this one is gone"));
    }
    Ok(())
}
