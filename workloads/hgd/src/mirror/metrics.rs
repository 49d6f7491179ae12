//! How far this mirror is, as metrics.

use follower::Local;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts};
use protocol::stream::Progress;
use tokio::sync::watch;

/// Reads the levels when somebody asks.
pub struct Replication {
    progress: watch::Receiver<Option<Progress>>,
    ready: watch::Receiver<bool>,
    role: IntGaugeVec,
    is_ready: IntGauge,
    applied: IntGauge,
    shown: IntGauge,
    quarantined: IntGauge,
}

impl Replication {
    pub fn new(local: &Local) -> Result<Replication, prometheus::Error> {
        let gauge = |name: &str, help: &str| IntGauge::new(format!("hg_operator_{name}"), help);
        let role = Opts::new("hg_operator_role", "1 for the role that this instance has.");
        Ok(Replication {
            progress: local.progress(),
            ready: local.ready(),
            role: IntGaugeVec::new(role, &["role"])?,
            is_ready: gauge("mirror_ready", "1 while this mirror shows all that is published.")?,
            applied: gauge("applied_offset", "Every record up to this one is stored in the repositories here.")?,
            shown: gauge("shown_offset", "Every record up to this one is shown here.")?,
            quarantined: gauge("quarantined_repositories", "Repositories that are set aside here after failures.")?,
        })
    }

    fn parts(&self) -> [&dyn Collector; 5] {
        [&self.role, &self.is_ready, &self.applied, &self.shown, &self.quarantined]
    }
}

impl Collector for Replication {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let progress = self.progress.borrow().clone().unwrap_or_default();
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.role.with_label_values(&["mirror"]).set(1);
        self.is_ready.set(i64::from(*self.ready.borrow()));
        self.applied.set(number(progress.applied_through.0));
        self.shown.set(number(progress.shown_through.0));
        let quarantined = progress.lanes.iter().filter(|lane| lane.quarantined).count();
        self.quarantined.set(number(quarantined as u64));
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}
