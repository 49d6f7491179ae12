//! Process: what every role's does first and last. One crypto provider, structured logs, a runtime, signals, dying
//! with the supervisor that started it, and beginning again in its own place.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, child_subreaper, getpid, kill_process, set_child_subreaper, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing_subscriber::EnvFilter;
use transport::{Identity, IdentityError};

/// How long processes of an earlier life may take to end when they are killed.
const LEFTOVERS: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// True once the process was asked to stop.
pub type Shutdown = watch::Receiver<bool>;

/// Without what kube says of each request that fails: whoever asked for it says so too, and what comes of it.
const LOGGED: &str = "info,kube_client=off";

/// Installs what all roles share. Logs go to stderr, one JSON object a line; `HGD_LOG` filters them (default
/// [`LOGGED`]).
pub fn prepare() {
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let filter = EnvFilter::try_from_env("HGD_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
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

/// With which a process ends whose next start fares no better until a person has changed something: `EX_CONFIG` of
/// sysexits.h.
pub const MISCONFIGURED: u8 = 78;

/// Why a role has ended.
pub trait Fault: Display {
    fn is_of_configuration(&self) -> bool {
        false
    }
}

/// Runs a role to its end and turns its error into one line and exit code 1, or [`MISCONFIGURED`].
pub fn run_role<F, E>(role: F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Fault,
{
    run_to(role, |error| if error.is_of_configuration() { ExitCode::from(MISCONFIGURED) } else { ExitCode::FAILURE })
}

/// Runs a command to its end and turns its error into one line and exit code 1.
pub fn run<F, E>(command: F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    run_to(command, |_| ExitCode::FAILURE)
}

fn run_to<F, E>(work: F, code: impl FnOnce(&E) -> ExitCode) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hgd: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hgd: {error}");
            code(&error)
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

/// Puts this program into this process once more, with its arguments: a container that ended and is started again
/// would wait, longer each time. Of this life nothing is left by then but its children: the kernel ends all threads
/// first, and closes all files. Returns when that is not possible or the process was asked to end: it has to end then.
pub fn begin_again(why: &impl Display, shutdown: &Shutdown) {
    if *shutdown.borrow() {
        return;
    }
    tracing::warn!(%why, "this process begins again in its place");
    let failed = again().err();
    tracing::error!(?failed, "this process cannot begin again in its place: it ends");
}

fn again() -> io::Result<std::convert::Infallible> {
    // Whoever of its descendants loses a parent has the next life for one, which waits for their end.
    set_child_subreaper(Some(getpid()))?;
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| OsString::from("hgd"));
    Err(Command::new(program()?).arg0(name).args(words).exec())
}

/// Kills what an earlier life of this process has left running, and waits for its end.
pub async fn alone() -> io::Result<()> {
    if child_subreaper()?.is_none() {
        return Ok(());
    }
    let begun = Instant::now();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => continue,
            Ok(None) if begun.elapsed() > LEFTOVERS => {
                return Err(io::Error::other("processes of an earlier life of this one do not end"));
            }
            Ok(None) => {}
            Err(Errno::CHILD) => break,
            Err(error) => return Err(error.into()),
        }
        // They die with their parents, but for what a hook has started.
        for child in children() {
            let _gone = kill_process(child, Signal::KILL);
        }
        sleep(POLL).await;
    }
    Ok(set_child_subreaper(None)?)
}

fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let pids = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>();
    lists.flat_map(pids).filter_map(Pid::from_raw).collect()
}

/// This very program, also when the file was replaced by an upgrade meanwhile.
pub fn program() -> io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() { Ok(own.to_owned()) } else { std::env::current_exe() }
}
