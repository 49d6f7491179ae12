//! A master's reign, from its new generation to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use failover::Requirement;
use log::{Event, Level, Log};
use protocol::record::GenerationStarted;
use protocol::status::Refusal;
use protocol::{Generation, InstanceName, Offset, Record, Registry, Timestamp};
use push_gate::{Gate, GateMetrics, Ledger, Sessions};
use register::{Register, State, TakeError, Versioned};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use transport::CancellationToken;

use super::api::{Master, master_router};
use super::claim;
use super::drain::Drain;
use super::follow::Following;
use super::imports::Imports;
use super::keep::{self, Keep};
use super::metrics;
use super::own::Leading;
use super::publication::{Publisher, PublisherError, PublisherOptions};
use super::settled::Settled;
use super::standbys::Standbys;
use super::tenure::boot_time;
use super::witness::Witness;
use super::{Base, SshError, front, log_stopped, writable};
use crate::process::{self, Shutdown};

/// Questions and news that wait for the publisher.
const PUBLISHER_QUEUE: usize = 1024;
/// How long children of a deposed master may still tell their clients that the outcome is unknown.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// How long a master that is asked to end waits to be succeeded.
const HAND_OVER: Duration = Duration::from_secs(2);

/// Reign: what there is for as long as this instance is master.
struct Reign {
    master: Arc<Master>,
    opener: Arc<front::Opener>,
    /// Ends the streams to followers, and what is answered as master.
    cancel: CancellationToken,
    /// No more commands and imports.
    closing: CancellationToken,
    publishing: JoinHandle<Result<(), PublisherError>>,
    gate: JoinHandle<()>,
    kept: JoinHandle<Option<InstanceName>>,
    /// One for each log, where all instances have one volume.
    witnesses: JoinSet<Generation>,
}

/// Takes the next generation, and reigns.
pub async fn run(base: &Base, register: Register, mut shutdown: Shutdown) -> Result<(), SshError> {
    let name = &base.role.name;
    let opened = tokio::select! {
        taken = claim::take(&register, name, &base.own.disk, &base.probes) => taken?,
        () = process::asked(&mut shutdown) => return Ok(()),
    };
    // Whoever writes follows nobody older, also after a restart.
    base.own.seal.raise(opened.value.generation).await?;
    reign(base, register, opened, shutdown).await
}

/// Ends when the process is asked to end, or with the reign, upon which the process must end or begin again: what its
/// hg children were about to do must not be done.
pub async fn reign(
    base: &Base,
    register: Register,
    opened: Versioned<State>,
    mut shutdown: Shutdown,
) -> Result<(), SshError> {
    let generation = opened.value.generation;
    let opened = renewed(base, &register, opened).await?;
    let mut reign = open(base, register, opened).await?;
    let mut front = front::start(base, reign.opener.clone(), reign.closing.clone()).await?;
    // Whoever is answered by the admin port as by a master finds the SSH port open.
    base.master.send_replace(Some(master_router(reign.master.clone())));
    base.own.leading.send_replace(Some(Leading { generation, open: true }));

    let ended = tokio::select! {
        () = leaves(base, &mut shutdown) => Ok(()),
        never = tell_ready(base) => match never {},
        error = base.local.failed() => Err(error.into()),
        error = log_stopped(base) => Err(error),
        ended = &mut reign.publishing => Err(SshError::Read(format!("{ended:?}"))),
        by = &mut reign.kept => Err(SshError::Deposed { generation, by: by.ok().flatten() }),
        Some(sealed) = reign.witnesses.join_next() => {
            Err(SshError::Sealed { generation, by: sealed.unwrap_or_default() })
        }
    };
    base.probes.stopping();
    if base.tenure.is_some() && matches!(ended, Err(SshError::Sealed { .. } | SshError::Deposed { by: Some(_), .. })) {
        return ended;
    }
    let deposed = matches!(ended, Err(SshError::Deposed { .. }));
    if deposed {
        tracing::warn!(%generation, "this reign is over: nothing more is written, and hg children are ended");
        // Pushes that wait for their commit are told at once that the outcome is unknown.
        for (_, log) in base.logs.as_ref() {
            log.follow().await;
        }
    }
    // Pushes first: the rest of the installation must still answer while they drain.
    reign.closing.cancel();
    let farewell = if deposed { FAREWELL } else { Duration::MAX };
    let _its_end_is_enough = tokio::time::timeout(farewell, &mut front).await;
    base.master.send_replace(None);
    base.own.leading.send_replace(None);
    reign.cancel.cancel();
    reign.kept.abort();
    reign.gate.abort();
    ended
}

/// Ready for as long as pushes can be taken. Never ends.
async fn tell_ready(base: &Base) -> std::convert::Infallible {
    let mut unable = base.own.unable.subscribe();
    loop {
        match unable.borrow_and_update().clone() {
            None => base.probes.ready(),
            Some(why) => base.probes.not_ready(format!("pushes fail on this master: {why}")),
        }
        if unable.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// A pod that is to go reigns on for a moment: the operator hears of it, and another takes over in order. A master
/// that ended at once would only be missed. In all-in-one everything is stopped together.
async fn leaves(base: &Base, shutdown: &mut Shutdown) {
    process::asked(shutdown).await;
    if is_pod(&base.role) && !base.role.peers.is_empty() {
        tokio::time::sleep(HAND_OVER).await;
    }
}

pub fn is_pod(role: &config::SshRole) -> bool {
    matches!(role.register, config::Register::Lease { .. })
}

/// With one volume for all: to read the logs may have taken longer than the lease.
async fn renewed(base: &Base, register: &Register, opened: Versioned<State>) -> Result<Versioned<State>, SshError> {
    let Some(tenure) = &base.tenure else { return Ok(opened) };
    let (sent, Versioned { version, value }) = (boot_time(), opened);
    let version = register.write(&version, value.clone()).await.map_err(TakeError::Write)?;
    tenure.renewed(sent);
    Ok(Versioned { version, value })
}

async fn open(base: &Base, register: Register, opened: Versioned<State>) -> Result<Reign, SshError> {
    let generation = opened.value.generation;
    let keeper = keep::keeper(&base.role, opened);
    let required = Requirement::of(&keeper, base.tenure.as_ref().map(|_| base.own.disk.clone()));
    tracing::warn!(%generation, in_sync = ?required.in_sync, "this instance is master");
    let appended = begin(base, generation, &required).await?;

    let (standbys, connected) = watch::channel(Standbys::new());
    let (active, active_seen) = watch::channel(BTreeSet::new());
    let (welcome, welcome_seen) = watch::channel(Offset::ZERO);
    let (publisher, inputs) = mpsc::channel(PUBLISHER_QUEUE);
    let (told, requirement) = watch::channel(required);
    let drain = Drain::new();
    let has_standbys = !base.role.peers.is_empty() && base.tenure.is_none();
    let writable =
        writable::watch(connected.clone(), requirement.clone(), drain.watch(), base.tenure.clone(), has_standbys);
    let refuses = writable::refuses(base.logs.replication.watch(), base.role.data_directory.clone(), writable.clone());
    let (requirement_seen, seen) = (requirement.clone(), connected.clone());
    base.reign.send_replace(metrics::Reign::Master { generation, requirement: requirement_seen, connected: seen });
    let ledger = Arc::new(Ledger::new(base.logs.replication.clone(), generation, appended, writable));
    let cancel = CancellationToken::new();
    let following = Arc::new(Following {
        name: base.role.name.clone(),
        generation,
        logs: base.logs.clone(),
        standbys,
        requirement: requirement.clone(),
        publisher: publisher.clone(),
        active: active_seen,
        welcome: welcome_seen,
        ssh_instances: base.role.peers.keys().cloned().collect(),
        connections: AtomicU64::new(1),
        stop: cancel.clone(),
    });
    let keep = Keep {
        register,
        generation,
        logs: base.logs.clone(),
        standbys: connected.clone(),
        requirement: told,
        inherited: base.logs.as_ref().map(|log| log.positions().end),
        own: base.own.clone(),
        keeper,
        tenure: base.tenure.clone(),
    };
    let options = publisher_options(base, generation, &requirement, connected.clone(), active, welcome, refuses)?;
    let publishing = tokio::spawn(Publisher::new(options).run(inputs));
    let sessions = Sessions::default();
    let gate = gate(base, ledger.clone(), sessions.clone())?;
    let closing = CancellationToken::new();
    let opener = front::Opener::new(base, ledger.clone(), sessions);
    let imports = Imports::new(opener.clone(), closing.clone());
    let (closing_pushes, table) = (base.local.closing(), base.local.table());
    let master = Arc::new(Master { ledger, following, publisher, imports, drain, closing: closing_pushes, table });
    let kept = tokio::spawn(keep.run());
    Ok(Reign { master, opener, cancel, closing, publishing, gate, kept, witnesses: witnesses(base, generation) })
}

fn witnesses(base: &Base, generation: Generation) -> JoinSet<Generation> {
    let mut witnesses = JoinSet::new();
    for tenure in base.tenure.iter() {
        for (_, log) in base.logs.as_ref() {
            let (disk, data) = (base.own.disk.clone(), base.role.data_directory.clone());
            witnesses.spawn(Witness { log: log.clone(), generation, disk, data, tenure: tenure.clone() }.run());
        }
    }
    witnesses
}

/// Leads both logs from here on; answers the registry with everything in the log folded in.
async fn begin(base: &Base, generation: Generation, required: &Requirement) -> Result<Registry, SshError> {
    for (_, log) in base.logs.as_ref() {
        log.lead(generation, required.disks()).await?;
        start_generation(log, generation, &base.role.name).await?;
    }
    fold(base).await
}

fn publisher_options(
    base: &Base,
    generation: Generation,
    requirement: &watch::Receiver<Requirement>,
    connected: watch::Receiver<Standbys>,
    active: watch::Sender<BTreeSet<InstanceName>>,
    welcome: watch::Sender<Offset>,
    refuses: watch::Receiver<Option<Refusal>>,
) -> Result<PublisherOptions, SshError> {
    let (peers, waiting) = match base.tenure {
        None => (base.role.peers.clone(), Vec::new()),
        Some(_) => (Default::default(), base.role.peers.keys().cloned().collect()),
    };
    Ok(PublisherOptions {
        name: base.role.name.clone(),
        generation,
        requirement: requirement.clone(),
        logs: base.logs.clone(),
        table: base.local.table(),
        progress: base.local.progress(),
        mirrors: base.role.mirrors.clone(),
        peers,
        waiting,
        connected,
        active,
        welcome,
        refuses,
        unable: base.own.unable.subscribe(),
        settled: Settled::load(&base.role.data_directory)?,
        metrics: metrics::Mirrors::new(&base.probes.metrics)?,
    })
}

async fn start_generation(log: &Log, generation: Generation, master: &InstanceName) -> Result<(), SshError> {
    let time = Timestamp::from_system(std::time::SystemTime::now());
    let record = Record::GenerationStarted(GenerationStarted { master: master.clone(), time });
    log.append(generation, &record).await?;
    Ok(())
}

/// The registry with everything in the log folded in, committed or not.
async fn fold(base: &Base) -> Result<Registry, SshError> {
    let settled = Settled::load(&base.role.data_directory)?;
    let lanes = &base.local.start_of_lanes().registry;
    // A standby may have trimmed its log since its lanes began.
    let mut registry = if settled.registry().through() > lanes.through() { settled.registry() } else { lanes }.clone();
    let end = base.logs.replication.positions().end;
    let mut entries = base.logs.replication.subscribe(registry.through().next(), Level::Stored);
    while registry.through() < end {
        match entries.next().await.map_err(|error| SshError::Read(error.to_string()))? {
            Event::Entry(entry) => {
                let record = entry.record().map_err(|error| SshError::Read(error.to_string()))?;
                if let Err(error) = registry.apply(entry.offset, &record) {
                    tracing::error!(%error, "the log holds a record that its registry does not accept");
                }
            }
            Event::Committed(_) => {}
        }
    }
    Ok(registry)
}

fn gate(base: &Base, ledger: Arc<Ledger>, sessions: Sessions) -> Result<tokio::task::JoinHandle<()>, SshError> {
    let listener = push_gate::listen(&base.local.gate_socket())?;
    let gate = Arc::new(Gate {
        ledger,
        lanes: base.local.table(),
        closing: base.local.closing(),
        unsynced: base.local.unsynced(),
        sessions,
        blobs: base.blobs.clone(),
        incoming: base.blobs.incoming(),
        metrics: GateMetrics::new(&base.probes.metrics)?,
    });
    Ok(tokio::spawn(push_gate::serve(listener, gate)))
}
