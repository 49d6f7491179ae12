//! Metrics of an SSH instance, beside those of its SSH front and its push gate. Labels are roles, logs and states: no
//! names.

use aggregator::Core;
use failover::Requirement;
use log::Log;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};
use protocol::status::MirrorState;
use protocol::stream::Progress;
use protocol::{Generation, PerLog};
use tokio::sync::watch;

use super::Base;
use super::standbys::Standbys;

pub enum Reign {
    Standby,
    Master {
        generation: Generation,
        requirement: watch::Receiver<Requirement>,
        /// Standbys that have acknowledged something on the connection that they have now.
        connected: watch::Receiver<Standbys>,
    },
}

/// Reads levels when somebody asks.
pub struct Instance {
    reign: watch::Receiver<Reign>,
    logs: PerLog<Log>,
    progress: watch::Receiver<Option<Progress>>,
    role: IntGaugeVec,
    generation: IntGauge,
    start: IntGaugeVec,
    head: IntGaugeVec,
    durable: IntGaugeVec,
    committed: IntGaugeVec,
    applied: IntGauge,
    quarantined: IntGauge,
    in_sync: IntGauge,
    in_sync_connected: IntGauge,
}

impl Instance {
    /// Once in a process's life; what it is after that, `reign` tells.
    pub(super) fn register(base: &Base, reign: watch::Receiver<Reign>) -> Result<(), prometheus::Error> {
        let gauge = |name: &str, help: &str| IntGauge::new(format!("hg_operator_{name}"), help);
        let vector = |name: &str, label: &str, help: &str| {
            IntGaugeVec::new(Opts::new(format!("hg_operator_{name}"), help), &[label])
        };
        let instance = Instance {
            reign,
            logs: base.logs.clone(),
            progress: base.local.progress(),
            role: vector("role", "role", "1 for the role that this instance has.")?,
            generation: gauge("generation", "The generation that the replication log here has reached.")?,
            start: vector("log_start_offset", "log", "The first record that is kept.")?,
            head: vector("log_head_offset", "log", "The last record that is written.")?,
            durable: vector("log_durable_offset", "log", "The last record that is on disk here.")?,
            committed: vector("log_committed_offset", "log", "The last record that is known to be final.")?,
            applied: gauge("applied_offset", "Every record up to this one is stored in the repositories here.")?,
            quarantined: gauge("quarantined_repositories", "Repositories that are set aside here after failures.")?,
            in_sync: gauge("in_sync_standbys", "Standbys whose acknowledgement a commit needs.")?,
            in_sync_connected: gauge("in_sync_standbys_connected", "Of these, how many acknowledge now.")?,
        };
        base.probes.metrics.register(Box::new(instance))
    }

    fn parts(&self) -> [&dyn Collector; 10] {
        [
            &self.role,
            &self.generation,
            &self.start,
            &self.head,
            &self.durable,
            &self.committed,
            &self.applied,
            &self.quarantined,
            &self.in_sync,
            &self.in_sync_connected,
        ]
    }
}

impl Collector for Instance {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (_, log) in self.logs.as_ref() {
            let (label, positions) = ([log.name().directory()], log.positions());
            self.start.with_label_values(&label).set(number(positions.start.0));
            self.head.with_label_values(&label).set(number(positions.end.0));
            self.durable.with_label_values(&label).set(number(positions.durable.0));
            self.committed.with_label_values(&label).set(number(positions.committed.0));
        }
        self.generation.set(number(self.logs.replication.positions().generation.0));
        let progress = self.progress.borrow().clone().unwrap_or_default();
        self.applied.set(number(progress.applied_through.0));
        self.quarantined.set(number(progress.lanes.iter().filter(|lane| lane.quarantined).count() as u64));
        self.role.reset();
        let role = match &*self.reign.borrow() {
            Reign::Standby => "standby",
            Reign::Master { generation, requirement, connected } => {
                let (connected, in_sync) = (connected.borrow(), &requirement.borrow().in_sync);
                self.generation.set(number(generation.0));
                self.in_sync.set(number(in_sync.len() as u64));
                let acknowledging = in_sync.iter().filter(|name| connected.contains_key(*name)).count();
                self.in_sync_connected.set(number(acknowledging as u64));
                "master"
            }
        };
        self.role.with_label_values(&[role]).set(1);
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// Mirrors as the master knows them; set by the publisher, several times a second.
#[derive(Clone)]
pub struct Mirrors {
    states: IntGaugeVec,
    active: IntGauge,
    published: IntGauge,
    lag_records: IntGauge,
    lag_seconds: Gauge,
    at_floor: IntGauge,
}

const STATES: [MirrorState; 5] = [
    MirrorState::Bootstrapping,
    MirrorState::CatchingUp,
    MirrorState::Active,
    MirrorState::Lagging,
    MirrorState::Unreachable,
];

impl Mirrors {
    pub fn new(registry: &Registry) -> Result<Mirrors, prometheus::Error> {
        let states = Opts::new("hg_operator_mirrors", "Mirrors that the master knows, by state.");
        let gauge = |name: &str, help: &str| IntGauge::new(format!("hg_operator_{name}"), help);
        let mirrors = Mirrors {
            states: IntGaugeVec::new(states, &["state"])?,
            active: gauge("mirrors_active", "Mirrors that release and publication wait for.")?,
            published: gauge("published_offset", "Every active mirror shows every record up to this one.")?,
            lag_records: gauge("slowest_mirror_lag_records", "How many records the slowest active mirror is behind.")?,
            lag_seconds: Gauge::new(
                "hg_operator_slowest_mirror_lag_seconds",
                "How long the slowest active mirror is behind.",
            )?,
            at_floor: gauge("mirrors_at_floor", "1 while publication waits for a late mirror that cannot be spared.")?,
        };
        registry.register(Box::new(mirrors.states.clone()))?;
        registry.register(Box::new(mirrors.lag_seconds.clone()))?;
        for gauge in [&mirrors.active, &mirrors.published, &mirrors.lag_records, &mirrors.at_floor] {
            registry.register(Box::new(gauge.clone()))?;
        }
        Ok(mirrors)
    }

    pub fn set(&self, core: &Core) {
        let (views, active) = (core.mirrors(), core.active());
        for state in STATES {
            let count = views.iter().filter(|mirror| mirror.state == state).count();
            self.states.with_label_values(&[label(state)]).set(number(count as u64));
        }
        let late = || views.iter().filter(|mirror| active.contains(&mirror.name));
        self.active.set(number(active.len() as u64));
        self.published.set(number(core.published_through().0));
        self.lag_records.set(number(late().map(|mirror| mirror.lag_records).max().unwrap_or(0)));
        self.lag_seconds.set(late().map(|mirror| mirror.lag.as_secs_f64()).fold(0.0, f64::max));
        self.at_floor.set(i64::from(core.at_floor()));
    }
}

fn label(state: MirrorState) -> &'static str {
    match state {
        MirrorState::Bootstrapping => "bootstrapping",
        MirrorState::CatchingUp => "catching-up",
        MirrorState::Active => "active",
        MirrorState::Lagging => "lagging",
        MirrorState::Unreachable => "unreachable",
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
