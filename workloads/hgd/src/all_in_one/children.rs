//! Child processes of the supervisor: started, started again with backoff when they die, stopped in order.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::log_files;
use crate::process::{MISCONFIGURED, program};
use crate::pulse::{self, Pulse};
use crate::ssh::family;
use protocol::InstanceName;
use rustix::process::{Pid, Signal};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A child that ran this long starts again with the first backoff.
const STEADY: Duration = Duration::from_secs(30);
/// Looked through for the sentence with which a child ended.
const MAX_LAST_WORDS_BYTES: u64 = 64 * 1024;
/// A balancer that says nothing for so long is killed: nobody else would take its place.
pub const BALANCER_PATIENCE: Duration = Duration::from_secs(3);
/// The others have been replaced by then, as master, in the in-sync set or in the active set; a machine that stands
/// still for a while must not cost them more than that.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a child may drain before it is killed.
const DRAIN: Duration = Duration::from_secs(40);

/// Child to run: `hgd <role> --config <config> --parent <pid>`, its output appended to `log`.
#[derive(Clone, Debug)]
pub struct Child {
    pub name: String,
    pub role: &'static str,
    pub config: PathBuf,
    pub log: PathBuf,
    /// Patience: it is killed when it says nothing for so long.
    pub patience: Duration,
    /// Family of a child whose files others open after it: it has ended only when all its own children have.
    pub family: Option<PathBuf>,
}

/// Process ids of the children by name; None: it has ended, and is not started again yet.
#[derive(Clone, Debug, Default)]
pub struct Pids(Arc<Mutex<BTreeMap<String, Option<u32>>>>);

impl Pids {
    pub fn get(&self, name: &str) -> Option<u32> {
        self.lock().get(name).copied().flatten()
    }

    /// Answers whether it has run, and does not run now.
    pub fn has_ended(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(Option::is_none)
    }

    fn set(&self, name: &str, pid: Option<u32>) {
        self.lock().insert(name.to_owned(), pid);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All children by name, each with its own word to stop.
pub struct Children {
    running: BTreeMap<String, (watch::Sender<bool>, JoinHandle<()>)>,
    misconfigured: watch::Receiver<Option<String>>,
}

impl Children {
    pub fn start(children: &[Child], pids: &Pids) -> Children {
        let (said, misconfigured) = watch::channel(None);
        let start = |child: &Child| {
            let (stop, stopping) = watch::channel(false);
            let task = run(child.clone(), pids.clone(), said.clone(), stopping);
            (child.name.clone(), (stop, tokio::spawn(task)))
        };
        Children { running: children.iter().map(start).collect(), misconfigured }
    }

    /// Waits until a child has ended with [`MISCONFIGURED`]; answers its sentence.
    pub async fn misconfigured(&self) -> String {
        let mut said = self.misconfigured.clone();
        match said.wait_for(Option::is_some).await.ok().and_then(|sentence| sentence.clone()) {
            Some(sentence) => sentence,
            None => std::future::pending().await,
        }
    }

    /// The master first and alone: pushes that are being made need a standby to be committed.
    pub async fn stop(mut self, master: Option<InstanceName>) {
        if let Some((stop, ended)) = master.and_then(|name| self.running.remove(name.as_str())) {
            stop.send_replace(true);
            let _its_end_is_enough = ended.await;
        }
        for (stop, _) in self.running.values() {
            stop.send_replace(true);
        }
        for (_, ended) in self.running.into_values() {
            let _its_end_is_enough = ended.await;
        }
    }
}

async fn run(child: Child, pids: Pids, misconfigured: watch::Sender<Option<String>>, stop: watch::Receiver<bool>) {
    tokio::select! {
        () = supervise(&child, &pids, &misconfigured, stop) => {}
        never = log_files::keep_bounded(&child.log) => match never {},
    }
}

/// Keeps one child running until `stop` turns true, then asks it to drain. Ends when the child has ended.
async fn supervise(
    child: &Child,
    pids: &Pids,
    misconfigured: &watch::Sender<Option<String>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut said = None;
    while !*stop.borrow() {
        let started = Instant::now();
        let log_before = std::fs::metadata(&child.log).map_or(0, |file| file.len());
        match run_once(child, pids, &mut stop).await {
            Ok(status) if *stop.borrow() => {
                tracing::info!(child = child.name, %status, "stopped");
                return;
            }
            Ok(status) => {
                tracing::warn!(child = child.name, %status, "ended; it is started again");
                let of_configuration = status.code() == Some(MISCONFIGURED.into());
                tell_why(child, log_before, of_configuration, &mut said);
                if of_configuration {
                    misconfigured.send_replace(said.clone());
                }
            }
            Err(error) => tracing::error!(child = child.name, %error, "cannot be started; it is tried again"),
        }
        if started.elapsed() > STEADY {
            backoff = FIRST_BACKOFF;
        }
        let _stop_ends_the_wait = tokio::time::timeout(backoff, stop.wait_for(|stop| *stop)).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// Repeats on the supervisor's own output the sentence with which a child ended, once until it says another.
fn tell_why(child: &Child, log_before: u64, of_configuration: bool, said: &mut Option<String>) {
    let sentence = last_words(&child.log, log_before);
    if let Some(sentence) = sentence.filter(|sentence| said.as_ref() != Some(sentence)) {
        let again = if of_configuration { "" } else { " and is tried again" };
        eprintln!("hgd: {} cannot run{again}: {sentence}", child.name);
        *said = Some(sentence);
    }
}

/// Reads what [`crate::process::run`] wrote into the log last, behind `from`.
fn last_words(log: &Path, from: u64) -> Option<String> {
    let mut file = std::fs::File::open(log).ok()?;
    let end = file.metadata().ok()?.len();
    // It may have been emptied since.
    let from = if from > end { 0 } else { from };
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(MAX_LAST_WORDS_BYTES)))).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_LAST_WORDS_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().find_map(|line| line.strip_prefix("hgd: ")).map(str::to_owned)
}

/// Why a child is not waited for any more.
enum Over {
    Ended(io::Result<ExitStatus>),
    Silent,
    Stopped,
}

async fn run_once(child: &Child, pids: &Pids, stop: &mut watch::Receiver<bool>) -> io::Result<ExitStatus> {
    let (mut process, mut pulse) = start(child)?;
    let pid = process.id();
    pids.set(&child.name, pid);
    let over = tokio::select! {
        status = process.wait() => Over::Ended(status),
        () = pulse.stops(child.patience) => Over::Silent,
        _ = stop.wait_for(|stop| *stop) => Over::Stopped,
    };
    let status = match over {
        Over::Ended(status) => status,
        Over::Silent => {
            tracing::warn!(child = child.name, seconds = child.patience.as_secs(), "no sign of life: it is killed");
            process.start_kill()?;
            process.wait().await
        }
        Over::Stopped => drain(&mut process, pid).await,
    };
    if let Some(lock) = &child.family {
        family::ended(lock).await?;
    }
    pids.set(&child.name, None);
    status
}

async fn drain(process: &mut tokio::process::Child, pid: Option<u32>) -> io::Result<ExitStatus> {
    if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // The child may just have ended by itself.
        let _gone = rustix::process::kill_process(pid, Signal::TERM);
    }
    match tokio::time::timeout(DRAIN, process.wait()).await {
        Ok(status) => status,
        Err(_) => {
            process.kill().await?;
            process.wait().await
        }
    }
}

fn start(child: &Child) -> io::Result<(tokio::process::Child, Pulse)> {
    let (beats, pulse) = pulse::pipe()?;
    let log = OpenOptions::new().create(true).append(true).open(&child.log)?;
    let process = Command::new(program()?)
        .arg(child.role)
        .arg("--config")
        .arg(&child.config)
        .arg("--parent")
        .arg(std::process::id().to_string())
        .stdin(beats)
        .stdout(log.try_clone()?)
        .stderr(log)
        // A Ctrl-C on the terminal is for the supervisor, which stops its children in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((process, pulse))
}
