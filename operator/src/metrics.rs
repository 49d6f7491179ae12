//! Metrics that `/metrics` tells.

use std::sync::LazyLock;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, register_gauge_vec, register_histogram_vec,
    register_int_counter_vec, register_int_gauge, register_int_gauge_vec,
};

use crate::world::cache::Name;

pub struct Metrics {
    pub reconciles: IntCounterVec,
    pub reconcile_seconds: HistogramVec,
    pub writes: IntCounterVec,
    pub queue: IntGauge,
    pub workers: IntGauge,
    pub acting: IntGauge,
    pub objects: IntGaugeVec,
    pub watch_age: GaugeVec,
    pub watch_newest: IntGaugeVec,
    pub watch_errors: IntCounterVec,
    pub lag_records: IntGaugeVec,
    pub promotion_blocked: IntGaugeVec,
    pub needs_human: IntGaugeVec,
}

static METRICS: LazyLock<Result<Metrics, prometheus::Error>> = LazyLock::new(Metrics::register);

/// The first thing that the program does: without its metrics it does not start.
pub fn start() -> Result<(), &'static prometheus::Error> {
    METRICS.as_ref().map(drop)
}

/// None never happens in a program that has started.
pub fn metrics() -> Option<&'static Metrics> {
    METRICS.as_ref().ok()
}

/// A write is sent to the API server.
pub fn wrote(verb: &str, kind: &str) {
    if let Some(metrics) = metrics() {
        metrics.writes.with_label_values(&[verb, kind]).inc();
    }
}

/// A look at a resource has ended.
pub fn looked(kind: &str, result: &str, seconds: f64) {
    if let Some(metrics) = metrics() {
        metrics.reconciles.with_label_values(&[kind, result]).inc();
        metrics.reconcile_seconds.with_label_values(&[kind]).observe(seconds);
    }
}

/// How many records each mirror of a pool does not show yet. Those that are not named are gone, and so is what was
/// said of them: an alert about a mirror that is gone would never end.
pub fn told_lag(namespace: &str, pool: &str, lag: &[(String, i64)]) {
    let Some(metrics) = metrics() else { return };
    let is_theirs = |label: &prometheus::proto::LabelPair| match label.name() {
        "namespace" => label.value() == namespace,
        "pool" => label.value() == pool,
        _ => true,
    };
    for series in metrics.lag_records.collect().iter().flat_map(prometheus::proto::MetricFamily::get_metric) {
        let mirror =
            series.get_label().iter().find(|label| label.name() == "mirror").map_or("", |label| label.value());
        if series.get_label().iter().all(is_theirs) && lag.iter().all(|(name, _)| name != mirror) {
            // It was there a moment ago, and only we take it away.
            let _ = metrics.lag_records.remove_label_values(&[namespace, pool, mirror]);
        }
    }
    for (mirror, lag) in lag {
        metrics.lag_records.with_label_values(&[namespace, pool, mirror.as_str()]).set(*lag);
    }
}

/// Whether that is so of a SshMaster. None: it is gone, or nobody looks at it, and what was said of it goes with it.
pub fn told_of_master(which: fn(&Metrics) -> &IntGaugeVec, master: &Name, so: Option<bool>) {
    let Some(gauge) = metrics().map(which) else { return };
    let labels = [&*master.namespace, &*master.name];
    match so {
        Some(so) => gauge.with_label_values(&labels).set(so.into()),
        None => {
            let _nothing_was_said = gauge.remove_label_values(&labels);
        }
    }
}

impl Metrics {
    fn register() -> Result<Metrics, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| register_int_counter_vec!(name, help, labels);
        let gauge = |name: &str, help: &str, labels: &[&str]| register_int_gauge_vec!(name, help, labels);
        Ok(Metrics {
            reconciles: counter(
                "hg_operator_reconciles_total",
                "Looks at a resource, by how they ended",
                &["kind", "result"],
            )?,
            reconcile_seconds: register_histogram_vec!(
                "hg_operator_reconcile_seconds",
                "How long a look at a resource took",
                &["kind"],
                vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
            )?,
            writes: counter("hg_operator_api_writes_total", "Writes sent to the API server", &["verb", "kind"])?,
            queue: register_int_gauge!("hg_operator_queue_depth", "Resources that wait for a worker")?,
            workers: register_int_gauge!("hg_operator_workers_busy", "Resources that are looked at")?,
            acting: register_int_gauge!("hg_operator_acting", "1: this operator acts; 0: it stands by")?,
            objects: gauge("hg_operator_objects", "Objects in memory", &["kind"])?,
            watch_age: register_gauge_vec!(
                "hg_operator_watch_last_event_age_seconds",
                "Time since a watch last said anything, of a kind's watches the longest",
                &["kind"]
            )?,
            watch_newest: gauge(
                "hg_operator_watch_newest_version",
                "The highest resourceVersion that a watch has told of",
                &["kind"],
            )?,
            watch_errors: counter("hg_operator_watch_errors_total", "Watches that broke or were refused", &["kind"])?,
            lag_records: gauge(
                "hg_operator_mirror_lag_records",
                "Records that a mirror does not show yet",
                &["namespace", "pool", "mirror"],
            )?,
            promotion_blocked: gauge(
                "hg_operator_promotion_blocked",
                "1: something is in the way of a promotion of this SshMaster, as its condition PromotionReady says",
                &["namespace", "master"],
            )?,
            needs_human: gauge(
                "hg_operator_master_needs_human",
                "1: nothing that the operator does can mend this SshMaster, as its condition Ready says",
                &["namespace", "master"],
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_a_mirror_goes_with_it() {
        let told = |pool: &str| {
            let all = metrics().unwrap().lag_records.collect();
            let of = |series: &prometheus::proto::Metric| {
                let label =
                    |name: &str| series.get_label().iter().find(|l| l.name() == name).unwrap().value().to_owned();
                (label("namespace") == "told" && label("pool") == pool).then(|| label("mirror"))
            };
            let mut mirrors: Vec<String> = all[0].get_metric().iter().filter_map(of).collect();
            mirrors.sort();
            mirrors
        };
        let lag = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 7)).collect::<Vec<_>>();
        told_lag("told", "a", &lag(&["a-0", "a-1"]));
        told_lag("told", "b", &lag(&["b-0"]));
        assert_eq!((told("a"), told("b")), (vec!["a-0".to_owned(), "a-1".to_owned()], vec!["b-0".to_owned()]));
        told_lag("told", "a", &lag(&["a-1"]));
        assert_eq!((told("a"), told("b")), (vec!["a-1".to_owned()], vec!["b-0".to_owned()]));
        told_lag("told", "b", &[]);
        assert_eq!((told("a"), told("b")), (vec!["a-1".to_owned()], Vec::new()));
    }

    #[test]
    fn every_metric_can_be_registered() {
        start().unwrap();
        assert!(metrics().is_some());
    }
}
