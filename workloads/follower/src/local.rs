//! This instance's repositories: the warm Mercurial that changes them, the lanes that decide how, and what they
//! reached.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use log::blobs::Blobs;
use log::{Event, Level, Log, SubscribeError, Subscription};
use mercurial::{LanePool, Mercurial, Options as MercurialOptions, Role};
use protocol::stream::{Progress, WINDOW_ENTRIES};
use protocol::{CreationId, InstanceName, LogName, Offset, PerLog, Registry};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use transport::{CancellationToken, Client, Target};

use crate::checkpoint::{self, CheckpointError};
use crate::closing::Closing;
use crate::driver::{Driver, DriverError, Input, Outputs};
use crate::execute::Executor;
use crate::lanes::{Checkpoint, Lanes, Mode, Options, Origin};
use crate::peers::Peers;
use crate::table::LaneTable;
use crate::unsynced::Unsynced;

/// Repositories with something under way. Many of them only wait, for a worker, a peer or the close of a push, so that
/// this is far more than there are workers.
const MAX_IN_FLIGHT: usize = 64;
/// Entries between the stream and the lanes.
const INPUT_QUEUE: usize = WINDOW_ENTRIES as usize + 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ssh,
    Mirror,
}

pub struct LocalOptions {
    pub name: InstanceName,
    pub kind: Kind,
    pub data: PathBuf,
    /// For sockets and Mercurial's own files; None: in the data directory.
    pub run: Option<PathBuf>,
    pub python: PathBuf,
    /// SSH instances: what a push prints links to.
    pub public_url: Option<String>,
    /// Mirrors: repositories that each web worker keeps open.
    pub web_cached: Option<u32>,
    pub site_hgrc: Option<PathBuf>,
    /// Lane workers.
    pub lanes: usize,
    /// True while nobody reads or writes the repositories here: on a standby.
    pub background: bool,
    pub client: Client,
    pub blobs: Blobs,
    /// SSH instances: the log that their lanes follow.
    pub own_log: Option<Log>,
}

#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Mercurial(#[from] mercurial::StartError),
    #[error("the lanes stopped: {0}")]
    Driver(#[from] DriverError),
    #[error("the lanes stopped: {0}")]
    Ended(String),
    #[error("the lanes cannot read this instance's log: {0}")]
    Log(SubscribeError),
}

impl LocalError {
    /// Another start fares no better until somebody has changed the hgrc.
    pub fn is_of_configuration(&self) -> bool {
        matches!(self, LocalError::Mercurial(mercurial::StartError::Refused { .. }))
    }
}

pub struct Local {
    options: LocalOptions,
    mercurial: Mercurial,
    pool: LanePool,
    table: Arc<LaneTable>,
    closing: Closing,
    unsynced: Unsynced,
    start: Checkpoint,
    sources: watch::Sender<Vec<Target>>,
    progress: watch::Receiver<Option<Progress>>,
    ready: watch::Receiver<bool>,
    received: watch::Receiver<Offset>,
    registry: watch::Receiver<Arc<Registry>>,
    inputs: PerLog<mpsc::Sender<Input>>,
    ended: watch::Receiver<Option<String>>,
    /// Why the lanes get nothing more from this instance's own log.
    unfed: watch::Receiver<Option<SubscribeError>>,
    stop: CancellationToken,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Local {
    /// Starts Mercurial and the lanes where the data directory's checkpoint left them.
    pub async fn start(options: LocalOptions) -> Result<Local, LocalError> {
        let data = &options.data;
        let scratch = make_folders(data)?;
        let unsynced = Unsynced::open(data).map_err(|source| io_error(data, source))?;
        let (start, origin) = checkpoint::load(data)?.unwrap_or((Checkpoint::default(), Origin::Checkpoint));
        let mercurial = start_mercurial(&options).await?;
        let pool = LanePool::new(mercurial.clone(), options.lanes);
        let (table, closing) = (Arc::new(LaneTable::default()), Closing::default());
        let (sources, known_sources) = watch::channel(Vec::new());
        let (told_progress, progress) = watch::channel(None);
        let (told_ready, ready) = watch::channel(false);
        let (told_registry, registry) = watch::channel(Arc::new(start.registry.clone()));
        let (told_received, received) = watch::channel(start.replication);
        let executor = Arc::new(Executor {
            pool: pool.clone(),
            client: options.client.clone(),
            blobs: options.blobs.clone(),
            keeps_blobs: options.kind == Kind::Ssh,
            repositories: data.join("repositories"),
            scratch,
            sources: known_sources,
            closing: closing.clone(),
            own_log: options.own_log.clone(),
            unsynced: unsynced.clone(),
        });
        let outputs = Outputs {
            table: table.clone(),
            progress: told_progress,
            ready: told_ready,
            received: told_received,
            registry: told_registry,
        };
        let mode = match options.kind {
            Kind::Ssh => Mode::Direct,
            Kind::Mirror => Mode::TwoStep,
        };
        let bounds = Options { max_in_flight: MAX_IN_FLIGHT, ..Options::new(mode, options.name.clone()) };
        let lanes = Lanes::new(bounds, start.clone(), origin);
        remove_leftovers(&lanes, &data.join("repositories"))?;
        let at = (start.replication, start.publication);
        let driver = Driver::new(lanes, executor, outputs, data.clone(), at);
        let stop = CancellationToken::new();
        let (inputs, ended, driver) = spawn(driver, stop.clone());
        let unfed = fed(options.own_log.as_ref(), start.replication.next(), inputs.replication.clone());
        Ok(Local {
            options,
            mercurial,
            pool,
            table,
            closing,
            unsynced,
            start,
            sources,
            progress,
            ready,
            received,
            registry,
            inputs,
            ended,
            unfed,
            stop,
            driver,
        })
    }

    pub fn name(&self) -> &InstanceName {
        &self.options.name
    }

    /// Where the lanes began; what came after it is in the log.
    pub fn start_of_lanes(&self) -> &Checkpoint {
        &self.start
    }

    pub fn repositories(&self) -> PathBuf {
        self.options.data.join("repositories")
    }

    pub fn gate_socket(&self) -> PathBuf {
        gate_socket(&self.options)
    }

    pub fn mercurial(&self) -> &Mercurial {
        &self.mercurial
    }

    pub fn pool(&self) -> &LanePool {
        &self.pool
    }

    pub fn table(&self) -> Arc<LaneTable> {
        self.table.clone()
    }

    pub fn closing(&self) -> Closing {
        self.closing.clone()
    }

    pub fn unsynced(&self) -> Unsynced {
        self.unsynced.clone()
    }

    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.clone()
    }

    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// How much of the replication log the lanes have taken.
    pub fn received(&self) -> watch::Receiver<Offset> {
        self.received.clone()
    }

    pub fn registry(&self) -> watch::Receiver<Arc<Registry>> {
        self.registry.clone()
    }

    /// Sets who may have blobs and repositories, the likeliest first.
    pub fn set_sources(&self, sources: Vec<Target>) {
        self.sources.send_if_modified(|before| {
            let changed = *before != sources;
            *before = sources;
            changed
        });
    }

    /// Where entries of the two logs, and news, are handed in.
    pub fn inputs(&self) -> PerLog<mpsc::Sender<Input>> {
        self.inputs.clone()
    }

    /// Answers its peers for this instance.
    pub fn peers(&self) -> Arc<Peers> {
        Arc::new(Peers {
            pool: self.pool.clone(),
            table: self.table.clone(),
            repositories: self.repositories(),
            scratch: self.options.data.join("run").join("scratch"),
            archives: AtomicU64::new(0),
        })
    }

    /// Ready when the lanes have stopped, or get nothing more, though nobody asked them to.
    pub async fn failed(&self) -> LocalError {
        failed(self.ended.clone(), self.unfed.clone()).await
    }

    /// Lets running actions end and writes a last checkpoint.
    pub async fn stop(self) {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.stop.cancel();
        if let Some(driver) = driver {
            let limit = std::time::Duration::from_secs(20);
            if tokio::time::timeout(limit, driver).await.is_err() {
                tracing::warn!("the lanes did not end in time; what they were doing is repeated at the next start");
            }
        }
    }
}

/// Those that are used; answers the one for what is only for a moment, emptied.
fn make_folders(data: &Path) -> Result<PathBuf, LocalError> {
    for folder in ["repositories", "run"] {
        make_folder(&data.join(folder))?;
    }
    let scratch = data.join("run").join("scratch");
    crate::resync::remove(&scratch).map_err(|source| io_error(&scratch, source))?;
    make_folder(&scratch)?;
    Ok(scratch)
}

/// Repositories that ended while this instance was away: nobody will ask for them again.
fn remove_leftovers(lanes: &Lanes, repositories: &Path) -> Result<(), LocalError> {
    let io = |source| io_error(repositories, source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repositories).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        found.extend(name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok()).map(CreationId));
    }
    for id in lanes.leftovers(found) {
        tracing::info!(repository = %id, "removing a repository that ended while this instance was away");
        crate::resync::remove(&repositories.join(id.directory())).map_err(io)?;
    }
    Ok(())
}

async fn start_mercurial(options: &LocalOptions) -> Result<Mercurial, mercurial::StartError> {
    let (role, gate) = match options.kind {
        Kind::Ssh => (Role::Ssh, Some(gate_socket(options))),
        Kind::Mirror => (Role::Mirror, None),
    };
    Mercurial::start(MercurialOptions {
        python: options.python.clone(),
        run_directory: run_directory(options).join("mercurial"),
        gate,
        spool: options.blobs.incoming(),
        role,
        public_url: options.public_url.clone(),
        web_cached: options.web_cached,
        site_hgrc: options.site_hgrc.clone(),
        background: options.background,
    })
    .await
}

async fn failed(
    mut ended: watch::Receiver<Option<String>>,
    mut unfed: watch::Receiver<Option<SubscribeError>>,
) -> LocalError {
    let unreadable = async {
        match unfed.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            // Where nothing is read, or not any more.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    };
    let stopped = async {
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "their task is gone".to_owned(),
        }
    };
    tokio::select! {
        why = unreadable => LocalError::Log(why),
        why = stopped => LocalError::Ended(why),
    }
}

/// Feeds the lanes from the instance's own log, if it has one; tells why it cannot go on.
fn fed(log: Option<&Log>, from: Offset, to: mpsc::Sender<Input>) -> watch::Receiver<Option<SubscribeError>> {
    let (told, unfed) = watch::channel(None);
    if let Some(log) = log {
        let entries = log.subscribe(from, Level::Committed);
        tokio::spawn(async move { told.send_replace(feed(entries, to).await) });
    }
    unfed
}

/// None: it was closed, or the lanes have ended.
async fn feed(mut entries: Subscription, to: mpsc::Sender<Input>) -> Option<SubscribeError> {
    loop {
        let entry = match entries.next().await {
            Ok(Event::Entry(entry)) => entry,
            Ok(Event::Committed(_)) => continue,
            Err(SubscribeError::Closed) => return None,
            Err(error) => return Some(error),
        };
        let input = match entry.record() {
            Ok(record) => Input::Entry(LogName::Replication, entry.offset, Box::new(record)),
            Err(error) => {
                return Some(SubscribeError::Damaged { offset: entry.offset, why: error.to_string().into() });
            }
        };
        if to.send(input).await.is_err() {
            return None;
        }
    }
}

type Running = (PerLog<mpsc::Sender<Input>>, watch::Receiver<Option<String>>, Mutex<Option<JoinHandle<()>>>);

/// The driver's two inputs, how it ended, and its task.
fn spawn(driver: Driver, stop: CancellationToken) -> Running {
    let (replication, from_replication) = mpsc::channel(INPUT_QUEUE);
    let (publication, from_publication) = mpsc::channel(INPUT_QUEUE);
    let (told_end, ended) = watch::channel(None);
    let task = tokio::spawn(async move {
        let end = driver.run(from_replication, from_publication, stop).await;
        told_end.send_replace(Some(end.map_or_else(|error| error.to_string(), |()| "stopped".into())));
    });
    (PerLog::new(replication, publication), ended, Mutex::new(Some(task)))
}

fn run_directory(options: &LocalOptions) -> PathBuf {
    options.run.clone().unwrap_or_else(|| options.data.join("run"))
}

fn gate_socket(options: &LocalOptions) -> PathBuf {
    run_directory(options).join("gate.sock")
}

fn make_folder(path: &Path) -> Result<(), LocalError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: std::io::Error) -> LocalError {
    LocalError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use protocol::{Generation, Record};

    use super::*;

    fn record() -> Record {
        let manifest = "x".repeat(100);
        Record::CloneBundlesChanged(protocol::record::CloneBundlesChanged { repository: CreationId(1), manifest })
    }

    /// Until then it looked as if nothing were pushed.
    #[tokio::test]
    async fn a_log_that_cannot_be_read_is_a_failure_of_the_lanes() {
        let home = tempfile::tempdir().unwrap();
        let open = || {
            let retention = log::Retention { age: Duration::from_secs(3600), bytes: 1 << 30 };
            let (directory, segment_bytes) = (home.path().to_owned(), log::DEFAULT_SEGMENT_BYTES);
            Log::open(log::Options { directory, name: LogName::Replication, segment_bytes, retention }).unwrap()
        };
        let log = open();
        log.lead(Generation(1), BTreeSet::new()).await.unwrap();
        log.append(Generation(1), &record()).await.unwrap();
        drop(log);
        let log = open();
        let files = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
        let segment = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "segment")).unwrap();
        let mut bytes = std::fs::read(&segment).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        log.lead(Generation(2), BTreeSet::new()).await.unwrap();
        log.append(Generation(2), &record()).await.unwrap();

        let (to, _inputs) = mpsc::channel(8);
        let (_running, ended) = watch::channel(None);
        let failed = failed(ended, fed(Some(&log), Offset(1), to));
        let why = tokio::time::timeout(Duration::from_secs(20), failed).await.expect("it is told");
        assert!(matches!(why, LocalError::Log(SubscribeError::Damaged { offset: Offset(1), .. })), "{why}");
    }
}
