//! Drives the aggregator on the master: feeds it both logs and what mirrors and balancer say, appends what it decides,
//! and answers everyone who asks about mirrors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aggregator::{Options, Publishing};
use failover::Requirement;
use follower::LaneTable;
use follower::lanes::Checkpoint;
use interface::PeerAddress;
use log::{Event, Hold, Level, Log, SubscribeError, Subscription};
use protocol::endpoints::{Endpoints, ServingReport};
use protocol::status::{Cursor, Refusal, Status};
use protocol::stream::Progress;
use protocol::{Entry, Generation, InstanceName, LogName, Offset, PerLog, Record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::changes::KnownRepositories;
use super::metrics::Mirrors;
use super::settled::Settled;
use super::standbys::Standbys;
use super::trim::Beginning;

mod answers;
mod keeping;

const TICK: Duration = Duration::from_millis(200);
/// How often logs are trimmed.
const TRIM: Duration = Duration::from_secs(10);
/// Mirrors that were active before this reign find its master within this time, or are missed.
const RECONNECT: Duration = Duration::from_secs(10);
/// How long retention is held at most for a newcomer that took a snapshot.
const NEWCOMER_HOLD: Duration = Duration::from_secs(3600);

/// Input of the publisher: what it is told or asked.
pub enum Input {
    Connected {
        name: InstanceName,
        connection: u64,
        url: String,
        peer: String,
    },
    Progress {
        name: InstanceName,
        connection: u64,
        progress: Progress,
    },
    Lost {
        name: InstanceName,
        connection: u64,
    },
    Standby {
        name: InstanceName,
        progress: Progress,
    },
    Endpoints {
        report: ServingReport,
        answer: oneshot::Sender<Endpoints>,
    },
    Snapshot {
        name: InstanceName,
        answer: oneshot::Sender<Checkpoint>,
    },
    Peers(oneshot::Sender<Vec<PeerAddress>>),
    Beginning(oneshot::Sender<Beginning>),
    Status {
        /// Some: of the repositories only what has changed since.
        since: Option<Cursor>,
        answer: oneshot::Sender<Status>,
    },
}

pub struct PublisherOptions {
    pub name: InstanceName,
    pub generation: Generation,
    pub logs: PerLog<Log>,
    pub table: Arc<LaneTable>,
    /// Progress of this instance's own lanes.
    pub progress: watch::Receiver<Option<Progress>>,
    pub mirrors: config::Mirrors,
    /// The other SSH instances, with volumes of their own.
    pub peers: BTreeMap<InstanceName, config::Address>,
    /// Those that would open this one's volume next, and then have what is here.
    pub waiting: Vec<InstanceName>,
    /// Connected: who of these listens now.
    pub connected: watch::Receiver<Standbys>,
    pub requirement: watch::Receiver<Requirement>,
    pub active: watch::Sender<BTreeSet<InstanceName>>,
    /// Welcome: what a mirror that connects now has to see of the publication log before it is ready.
    pub welcome: watch::Sender<Offset>,
    pub refuses: watch::Receiver<Option<Refusal>>,
    pub unable: watch::Receiver<Option<String>>,
    pub settled: Settled,
    pub metrics: Mirrors,
}

struct Mirror {
    connection: u64,
    url: String,
    peer: String,
}

/// A mirror that took a snapshot: both logs are kept from there on, until its own checkpoints keep them.
struct Newcomer {
    until: Instant,
    /// Heard: it has told how far it is since.
    heard: bool,
    _kept: PerLog<Hold>,
}

pub struct Publisher {
    options: PublisherOptions,
    publishing: Publishing,
    mirrors: BTreeMap<InstanceName, Mirror>,
    standbys: BTreeMap<InstanceName, Progress>,
    newcomers: BTreeMap<InstanceName, Newcomer>,
    started: Instant,
    appending: JoinSet<Result<Offset, log::AppendError>>,
    seen: KnownRepositories,
}

#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    #[error("a log cannot be read: {0}")]
    Read(#[from] SubscribeError),
    #[error("record {offset} cannot be read: {source}")]
    Record { offset: Offset, source: protocol::DecodeError },
    #[error("the publication log cannot be written: {0}")]
    Append(#[from] log::AppendError),
}

impl Publisher {
    pub fn new(options: PublisherOptions) -> Publisher {
        let bounds = Options {
            max_lag_records: options.mirrors.max_lag.records,
            max_lag: Duration::from_secs(options.mirrors.max_lag.seconds),
            min_active: options.mirrors.min_active as usize,
            ..Options::default()
        };
        let publication = options.logs.publication.positions().start.previous();
        let registry = options.settled.registry().clone();
        let mut seen = KnownRepositories::default();
        seen.touch(registry.iter().map(|repository| repository.id));
        Publisher {
            publishing: Publishing::new(bounds, registry, publication, options.generation),
            options,
            mirrors: BTreeMap::new(),
            standbys: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            started: Instant::now(),
            appending: JoinSet::new(),
            seen,
        }
    }

    /// Runs until the process ends.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), PublisherError> {
        let through = self.publishing.through();
        let entries = self.options.logs.as_ref().zip(through);
        let entries = entries.map(|(log, through)| log.subscribe(through.next(), Level::Committed));
        let PerLog { mut replication, mut publication } = entries;
        let (mut ticks, mut trims) = (interval(TICK), interval(TRIM));
        loop {
            tokio::select! {
                entry = next(&mut replication) => self.committed(entry?)?,
                entry = next(&mut publication) => self.published(entry?)?,
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return Ok(()),
                },
                Some(appended) = self.appending.join_next() => self.appended(appended)?,
                _ = ticks.tick() => self.tick(),
                _ = trims.tick() => self.trim(),
            }
            self.act();
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn tick(&mut self) {
        self.publishing.core.tick(self.now());
        self.options.metrics.set(&self.publishing.core);
    }

    fn committed(&mut self, entry: Entry) -> Result<(), PublisherError> {
        let record = read(&entry)?;
        self.options.settled.note(entry.offset, &record);
        let repository = record.repository(entry.offset);
        self.seen.touch(repository);
        if let Err(error) = self.publishing.take(LogName::Replication, &entry, &record, self.now()) {
            tracing::warn!(%error, "a record is not counted");
        }
        Ok(())
    }

    fn published(&mut self, entry: Entry) -> Result<(), PublisherError> {
        let record = read(&entry)?;
        match &record {
            Record::MirrorActive(active) => tracing::info!(mirror = %active.mirror, "mirror active"),
            Record::MirrorInactive(inactive) => {
                tracing::warn!(mirror = %inactive.mirror, reason = ?inactive.reason, "mirror inactive");
            }
            Record::Published(published) => {
                self.seen
                    .touch(published.offsets.iter().filter_map(|offset| self.publishing.core.repository_of(*offset)));
            }
            _ => {}
        }
        if let Err(error) = self.publishing.take(LogName::Publication, &entry, &record, self.now()) {
            tracing::warn!(%error, "a record is not counted");
        }
        let active: BTreeSet<InstanceName> = self.publishing.core.active().into_iter().collect();
        self.options.active.send_if_modified(|before| {
            let changed = *before != active;
            *before = active;
            changed
        });
        Ok(())
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Connected { name, connection, url, peer } => {
                self.publishing.core.mirror_connected(&name, now);
                self.mirrors.insert(name, Mirror { connection, url, peer });
            }
            Input::Progress { name, connection, progress } => {
                if self.mirrors.get(&name).is_some_and(|mirror| mirror.connection == connection) {
                    self.newcomers.entry(name.clone()).and_modify(|newcomer| newcomer.heard = true);
                    self.publishing.core.progress(&name, progress, now);
                }
            }
            Input::Lost { name, connection } => {
                if self.mirrors.get(&name).is_some_and(|mirror| mirror.connection == connection) {
                    self.publishing.core.mirror_lost(&name, now);
                }
            }
            Input::Standby { name, progress } => {
                self.standbys.insert(name, progress);
            }
            Input::Endpoints { report: ServingReport { serving, mirrors }, answer } => {
                if let Some(mirrors) = mirrors {
                    self.publishing.core.only_these_exist(&mirrors, now);
                }
                self.publishing.core.endpoints(&serving, now);
                if let Some(endpoints) = self.endpoints() {
                    let _gone = answer.send(endpoints);
                }
            }
            Input::Snapshot { name, answer } => {
                let _gone = answer.send(self.snapshot(name));
            }
            Input::Beginning(answer) => {
                let _gone = answer.send(self.beginning());
            }
            Input::Peers(answer) => {
                let _gone = answer.send(self.peers());
            }
            Input::Status { since, answer } => {
                let status = match since {
                    Some(since) => self.since(since),
                    None => Status { repositories: self.repositories(), ..self.status() },
                };
                let _gone = answer.send(status);
            }
        }
    }

    fn act(&mut self) {
        if let Some(records) = self.publishing.batch() {
            let welcome = self.publishing.core.welcome();
            self.options.welcome.send_if_modified(|before| std::mem::replace(before, welcome) != welcome);
            let (log, generation) = (self.options.logs.publication.clone(), self.options.generation);
            self.appending.spawn(async move { log.append_many(generation, &records).await });
        }
    }

    fn appended(
        &mut self,
        appended: Result<Result<Offset, log::AppendError>, tokio::task::JoinError>,
    ) -> Result<(), PublisherError> {
        match appended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error @ log::AppendError::Write(_))) => {
                tracing::error!(%error, "nothing can be published until the log's volume takes writes again");
                self.publishing.core.batch_failed();
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(PublisherError::Append(log::AppendError::Stopped(error.to_string().into()))),
        }
    }
}

async fn next(subscription: &mut Subscription) -> Result<Entry, SubscribeError> {
    loop {
        if let Event::Entry(entry) = subscription.next().await? {
            return Ok(entry);
        }
    }
}

fn read(entry: &Entry) -> Result<Record, PublisherError> {
    entry.record().map_err(|source| PublisherError::Record { offset: entry.offset, source })
}
