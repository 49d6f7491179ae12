//! A master's reign, from its new generation to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use log::{Event, Level, Log};
use protocol::record::GenerationStarted;
use protocol::{Generation, InstanceName, Offset, Record, Registry, Timestamp};
use push_gate::{Gate, GateMetrics, Ledger};
use register::{Register, State};
use tokio::sync::{mpsc, watch};
use transport::CancellationToken;

use super::api::{Master, master_router};
use super::claim;
use super::follow::Following;
use super::imports::Imports;
use super::metrics::{self, Mirrors};
use super::publication::{Publisher, PublisherOptions};
use super::settled::Settled;
use super::{Base, SshError, common_router, front, listen, log_stopped};
use crate::process::{self, Shutdown};

/// Questions and news that wait for the publisher.
const PUBLISHER_QUEUE: usize = 1024;

/// `in_sync` is what the register says, which only ever names instances that have what was committed.
pub async fn run(
    base: Base,
    register: Register,
    in_sync: BTreeSet<InstanceName>,
    mut shutdown: Shutdown,
) -> Result<(), SshError> {
    let name = base.role.name.clone();
    let state = tokio::select! {
        taken = claim::take(&register, &name, &in_sync, &base.probes) => taken?,
        () = process::asked(&mut shutdown) => return Ok(()),
    };
    let appended = begin(&base, &state).await?;

    let (standbys, connected) = watch::channel(BTreeMap::new());
    let (active, active_seen) = watch::channel(BTreeSet::new());
    let (welcome, welcome_seen) = watch::channel(Offset::ZERO);
    let (publisher, inputs) = mpsc::channel(PUBLISHER_QUEUE);
    let writable = writable(connected.clone(), state.in_sync.clone());
    let reign = metrics::Reign::Master {
        generation: state.generation,
        in_sync: state.in_sync.clone(),
        connected: connected.clone(),
    };
    metrics::Instance::register(&base, reign)?;
    let ledger = Arc::new(Ledger::new(base.replication.clone(), state.generation, appended, writable));
    let cancel = CancellationToken::new();
    let following = Arc::new(Following {
        name,
        generation: state.generation,
        replication: base.replication.clone(),
        publication: base.publication.clone(),
        standbys,
        publisher: publisher.clone(),
        active: active_seen,
        welcome: welcome_seen,
        ssh_instances: base.role.peers.keys().cloned().collect(),
        connections: AtomicU64::new(1),
        stop: cancel.clone(),
    });
    let options = publisher_options(&base, &state, connected, active, welcome)?;
    let publishing = tokio::spawn(Publisher::new(options).run(inputs));
    let gate = gate(&base, ledger.clone())?;
    let closing = CancellationToken::new();
    let opener = front::Opener::new(&base, ledger.clone());
    let imports = Imports::new(opener.clone(), closing.clone());
    let master = Arc::new(Master { ledger, following, publisher, imports });
    // Whoever is answered by the admin port as by a master finds the SSH port open.
    let front = front::start(&base, opener, closing.clone()).await?;
    let admin = listen(base.role.admin_listen).await?;
    let router = common_router(&base).merge(master_router(master));
    let server = tokio::spawn(transport::serve(admin, base.identity.clone(), router, cancel.clone()));
    base.probes.ready();

    let ended = tokio::select! {
        () = process::asked(&mut shutdown) => Ok(()),
        error = base.local.failed() => Err(error.into()),
        error = log_stopped(&base) => Err(error),
        ended = publishing => Err(SshError::Read(format!("{ended:?}"))),
    };
    base.probes.stopping();
    // Pushes first: the rest of the installation must still answer while they drain.
    closing.cancel();
    let _its_end_is_enough = front.await;
    cancel.cancel();
    gate.abort();
    let _its_end_is_enough = server.await;
    base.local.stop().await;
    ended
}

/// Leads both logs from here on; answers the registry with everything in the log folded in.
async fn begin(base: &Base, state: &State) -> Result<Registry, SshError> {
    tracing::info!(generation = %state.generation, in_sync = ?state.in_sync, "this instance is master");
    for log in [&base.replication, &base.publication] {
        log.lead(state.generation, state.in_sync.clone()).await?;
        start_generation(log, state.generation, &base.role.name).await?;
    }
    fold(base).await
}

fn publisher_options(
    base: &Base,
    state: &State,
    connected: watch::Receiver<BTreeMap<InstanceName, u64>>,
    active: watch::Sender<BTreeSet<InstanceName>>,
    welcome: watch::Sender<Offset>,
) -> Result<PublisherOptions, SshError> {
    Ok(PublisherOptions {
        name: base.role.name.clone(),
        generation: state.generation,
        replication: base.replication.clone(),
        publication: base.publication.clone(),
        table: base.local.table(),
        progress: base.local.progress(),
        mirrors: base.role.mirrors.clone(),
        peers: base.role.peers.clone(),
        connected,
        active,
        welcome,
        settled: Settled::load(&base.role.data_directory)?,
        metrics: Mirrors::new(&base.probes.metrics)?,
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
    let mut registry = base.local.start_of_lanes().registry.clone();
    let end = base.replication.positions().end;
    let mut entries = base.replication.subscribe(registry.through().next(), Level::Stored);
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

/// True while every in-sync standby is connected.
fn writable(
    mut connected: watch::Receiver<BTreeMap<InstanceName, u64>>,
    in_sync: BTreeSet<InstanceName>,
) -> watch::Receiver<bool> {
    let (writable, seen) = watch::channel(in_sync.is_empty());
    tokio::spawn(async move {
        loop {
            let all = in_sync.iter().all(|name| connected.borrow_and_update().contains_key(name));
            writable.send_if_modified(|before| std::mem::replace(before, all) != all);
            if connected.changed().await.is_err() {
                return;
            }
        }
    });
    seen
}

fn gate(base: &Base, ledger: Arc<Ledger>) -> Result<tokio::task::JoinHandle<()>, SshError> {
    let listener = push_gate::listen(&base.local.gate_socket())?;
    let gate = Arc::new(Gate {
        ledger,
        lanes: base.local.table(),
        closing: base.local.closing(),
        blobs: base.blobs.clone(),
        incoming: base.blobs.incoming(),
        metrics: GateMetrics::new(&base.probes.metrics)?,
    });
    Ok(tokio::spawn(push_gate::serve(listener, gate)))
}
