//! Starts the zygote, watches it, and starts it again when it dies.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{ConnectError, Connection, DESCRIPTORS};
use crate::freezes;
use crate::run_directory::{Options, RunDirectory};
use crate::wire_commands::WireCommands;

/// Loading Mercurial takes 0.3 s; the rest is for a machine that starts everything at once.
const READY_SECONDS: u64 = 60;
/// A caller waits this long for a zygote that is being started again.
const RESTART_WAIT_SECONDS: u64 = 15;
const FIRST_BACKOFF_MILLISECONDS: u64 = 50;
const MAX_BACKOFF_MILLISECONDS: u64 = 10_000;
/// The exit code of one that cannot run with this hgrc, as `zygote.py` has it.
const REFUSED: i32 = 78;
/// From its last word to its end.
const END: Duration = Duration::from_secs(1);
/// A zygote that lived this long has not failed at starting.
const SOUND_SECONDS: u64 = 60;
const STDERR_LINES_KEPT: usize = 20;
const MAX_LINE_BYTES: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the run directory {directory} cannot be written: {error}")]
    RunDirectory { directory: String, error: io::Error },
    #[error("{python} cannot be started: {error}")]
    Spawn { python: String, error: io::Error },
    #[error("Mercurial was not ready within {READY_SECONDS} seconds; it said: {said}")]
    Slow { said: String },
    #[error("Mercurial ended before it was ready; it said: {said}")]
    Ended { said: String },
    /// Refused hgrc: the sentence names what cannot be, and where.
    #[error("{said}")]
    Refused { said: String },
    #[error("the thread that watches Mercurial cannot be started: {0}")]
    Thread(io::Error),
}

#[derive(Clone, Debug)]
enum State {
    Starting,
    Ready { version: Arc<str> },
    Failed(Arc<StartError>),
}

/// The instance's Mercurial. Clones share one zygote; when the last one is dropped, it and all its children are
/// killed.
#[derive(Clone)]
pub struct Mercurial {
    inner: Arc<Inner>,
}

struct Inner {
    run: RunDirectory,
    state: watch::Receiver<State>,
    commands: watch::Receiver<Arc<WireCommands>>,
    /// How many zygotes have ended: a child of an earlier one is dead or dies now.
    deaths: Arc<AtomicU64>,
    /// Dropping it tells the watching thread to end.
    _alive: watch::Sender<()>,
}

#[derive(Deserialize)]
struct Ready {
    mercurial: String,
    commands: WireCommands,
}

impl Mercurial {
    pub async fn start(options: Options) -> Result<Mercurial, StartError> {
        let run = RunDirectory::new(&options.run_directory);
        let failed = |error| StartError::RunDirectory { directory: run.root.display().to_string(), error };
        run.write(&options).map_err(failed)?;
        let (report, state) = watch::channel(State::Starting);
        let (tell_commands, commands) = watch::channel(Arc::default());
        let (alive, stopped) = watch::channel(());
        let deaths = Arc::new(AtomicU64::new(0));
        let supervisor =
            Supervisor { options, run: run.clone(), report, tell_commands, deaths: deaths.clone(), stopped };
        // A thread of its own: the kernel kills the zygote when the *thread* that made it ends (PR_SET_PDEATHSIG), and
        // the threads of a runtime come and go.
        std::thread::Builder::new()
            .name("zygote".to_owned())
            .spawn(move || supervisor.run())
            .map_err(StartError::Thread)?;
        let mercurial = Mercurial { inner: Arc::new(Inner { run, state, commands, deaths, _alive: alive }) };
        mercurial.first_state().await?;
        Ok(mercurial)
    }

    /// As Mercurial says it: `7.2.4`. Empty while it is being started again.
    pub fn version(&self) -> Arc<str> {
        match &*self.inner.state.borrow() {
            State::Ready { version } => version.clone(),
            State::Starting | State::Failed(_) => Arc::from(""),
        }
    }

    /// Answers the commands of the newest Mercurial that was ready.
    pub fn commands(&self) -> Arc<WireCommands> {
        self.inner.commands.borrow().clone()
    }

    /// True when a child can be made now.
    pub fn is_ready(&self) -> bool {
        matches!(&*self.inner.state.borrow(), State::Ready { .. })
    }

    pub fn hgrc(&self) -> &Path {
        &self.inner.run.hgrc
    }

    /// Where files of this process may lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.inner.run.root
    }

    pub(crate) fn deaths(&self) -> u64 {
        self.inner.deaths.load(Ordering::Acquire)
    }

    pub(crate) async fn connect(
        &self,
        first: &impl Serialize,
        descriptors: Option<[std::os::fd::BorrowedFd<'_>; DESCRIPTORS]>,
    ) -> Result<Connection, ConnectError> {
        let mut state = self.inner.state.clone();
        let ready = async { state.wait_for(|state| matches!(state, State::Ready { .. })).await.is_ok() };
        match timeout(Duration::from_secs(RESTART_WAIT_SECONDS), ready).await {
            Ok(true) => Connection::open(&self.inner.run.socket, first, descriptors).await,
            Ok(false) => Err(ConnectError::NotRunning("its watching thread has ended".to_owned())),
            Err(_) => Err(ConnectError::NotRunning(match &*self.inner.state.borrow() {
                State::Failed(error) => error.to_string(),
                State::Starting | State::Ready { .. } => "it is being started again".to_owned(),
            })),
        }
    }

    async fn first_state(&self) -> Result<(), StartError> {
        let mut state = self.inner.state.clone();
        let gone = || StartError::Ended { said: "nothing".to_owned() };
        let first = state.wait_for(|state| !matches!(state, State::Starting)).await.map_err(|_| gone())?;
        match &*first {
            State::Failed(error) => Err(repeat(error)),
            State::Starting | State::Ready { .. } => Ok(()),
        }
    }
}

/// `io::Error` cannot be cloned.
fn repeat(error: &StartError) -> StartError {
    let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
    match error {
        StartError::RunDirectory { directory, error } => {
            StartError::RunDirectory { directory: directory.clone(), error: again(error) }
        }
        StartError::Spawn { python, error } => StartError::Spawn { python: python.clone(), error: again(error) },
        StartError::Slow { said } => StartError::Slow { said: said.clone() },
        StartError::Ended { said } => StartError::Ended { said: said.clone() },
        StartError::Refused { said } => StartError::Refused { said: said.clone() },
        StartError::Thread(error) => StartError::Thread(again(error)),
    }
}

struct Supervisor {
    options: Options,
    run: RunDirectory,
    report: watch::Sender<State>,
    tell_commands: watch::Sender<Arc<WireCommands>>,
    deaths: Arc<AtomicU64>,
    stopped: watch::Receiver<()>,
}

type Said = Arc<Mutex<VecDeque<String>>>;

impl Supervisor {
    fn run(mut self) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.supervise()),
            Err(error) => {
                self.report.send_replace(State::Failed(Arc::new(StartError::Thread(error))));
            }
        }
    }

    async fn supervise(&mut self) {
        let mut stopped = self.stopped.clone();
        let mut backoff = Duration::from_millis(FIRST_BACKOFF_MILLISECONDS);
        loop {
            let begun = Instant::now();
            tokio::select! {
                // The sender sends nothing; it is only ever dropped. The child is killed with the dropped future.
                _ = stopped.changed() => return,
                ended = self.one_life() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "Mercurial does not start");
                        self.report.send_replace(State::Failed(Arc::new(error)));
                    }
                }
            }
            if begun.elapsed() > Duration::from_secs(SOUND_SECONDS) {
                backoff = Duration::from_millis(FIRST_BACKOFF_MILLISECONDS);
            }
            tokio::select! {
                _ = stopped.changed() => return,
                () = sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(Duration::from_millis(MAX_BACKOFF_MILLISECONDS));
        }
    }

    /// From the start of a zygote to its end.
    async fn one_life(&self) -> Result<(), StartError> {
        let failed = |error| StartError::RunDirectory { directory: self.run.root.display().to_string(), error };
        self.run.remove_socket().map_err(failed)?;
        let mut child = self.spawn()?;
        let said = Said::default();
        // Both end with the zygote and its children; they run beside us on this thread.
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen::<ChildStderr>(BufReader::new(stderr), Some(said.clone())));
        }
        let ready = timeout(Duration::from_secs(READY_SECONDS), ready_line(&mut child)).await;
        let (ready, stdout) = match ready {
            Ok(Some(ready)) => ready,
            Ok(None) => {
                let status = timeout(END, child.wait()).await;
                let _ = child.kill().await;
                let said = lines(&said);
                let refused = matches!(status, Ok(Ok(status)) if status.code() == Some(REFUSED));
                return Err(if refused { StartError::Refused { said } } else { StartError::Ended { said } });
            }
            Err(_) => {
                let _ = child.kill().await;
                return Err(StartError::Slow { said: lines(&said) });
            }
        };
        tokio::spawn(listen::<ChildStdout>(stdout, None));
        tracing::info!(version = ready.mercurial, pid = child.id(), "Mercurial is ready");
        self.tell_commands.send_replace(Arc::new(ready.commands));
        self.report.send_replace(State::Ready { version: ready.mercurial.into() });
        let status = self.ended(&mut child).await;
        self.deaths.fetch_add(1, Ordering::Release);
        self.report.send_replace(State::Starting);
        tracing::warn!(?status, said = lines(&said), "Mercurial has ended and is started again");
        Ok(())
    }

    /// Waits until it has ended, also for a zygote that hangs.
    async fn ended(&self, child: &mut Child) -> io::Result<ExitStatus> {
        if let Some(pid) = child.id() {
            tokio::select! {
                status = child.wait() => return status,
                () = freezes::zygote_hangs(&self.run.socket, pid) => {}
            }
            tracing::warn!(pid, "Mercurial does not answer any more and is killed");
            child.start_kill()?;
        }
        child.wait().await
    }

    fn spawn(&self) -> Result<Child, StartError> {
        Command::new(&self.options.python)
            .arg(&self.run.program)
            .arg(&self.run.config)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HGRCPATH", &self.run.hgrc)
            .env("HGENCODING", "UTF-8")
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.run.root)
            .env("TMPDIR", &self.run.temporary)
            .current_dir(&self.run.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in a terminal is for us: we end the children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| StartError::Spawn { python: self.options.python.display().to_string(), error })
    }
}

/// None: it ended first.
async fn ready_line(child: &mut Child) -> Option<(Ready, BufReader<ChildStdout>)> {
    let mut stdout = BufReader::new(child.stdout.take()?);
    while let Some(line) = bounded_line(&mut stdout).await {
        match line.strip_prefix("ready ").map(serde_json::from_str::<Ready>) {
            Some(Ok(ready)) => return Some((ready, stdout)),
            _ => tracing::info!(line, "Mercurial says"),
        }
    }
    None
}

async fn listen<R: AsyncRead + Unpin>(mut from: BufReader<R>, said: Option<Said>) {
    while let Some(line) = bounded_line(&mut from).await {
        tracing::info!(line, "Mercurial says");
        let Some(Ok(mut said)) = said.as_ref().map(|said| said.lock()) else { continue };
        if said.len() == STDERR_LINES_KEPT {
            said.pop_front();
        }
        said.push_back(line);
    }
}

/// The next line, or as much of it as is allowed; None at the end.
async fn bounded_line<R: AsyncRead + Unpin>(from: &mut BufReader<R>) -> Option<String> {
    use tokio::io::AsyncReadExt;
    let mut line = Vec::new();
    match from.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
    }
}

fn lines(said: &Said) -> String {
    match said.lock() {
        Ok(said) if !said.is_empty() => said.iter().cloned().collect::<Vec<_>>().join(" | "),
        _ => "nothing".to_owned(),
    }
}
