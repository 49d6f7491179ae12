//! What `/metrics` tells.

use std::sync::LazyLock;

use prometheus::{
    GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, register_gauge_vec, register_histogram_vec,
    register_int_counter_vec, register_int_gauge, register_int_gauge_vec,
};

/// A metric that cannot be registered is a mistake of ours that the test below finds; the process goes on without it.
pub struct Metrics {
    pub reconciles: Option<IntCounterVec>,
    pub reconcile_seconds: Option<HistogramVec>,
    pub writes: Option<IntCounterVec>,
    pub queue: Option<IntGauge>,
    pub acting: Option<IntGauge>,
    pub objects: Option<IntGaugeVec>,
    pub watch_age: Option<GaugeVec>,
    pub watch_errors: Option<IntCounterVec>,
    pub lag_records: Option<IntGaugeVec>,
}

pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let counter = |name: &str, help: &str, labels: &[&str]| register_int_counter_vec!(name, help, labels).ok();
    let gauge = |name: &str, help: &str, labels: &[&str]| register_int_gauge_vec!(name, help, labels).ok();
    Metrics {
        reconciles: counter(
            "hg_operator_reconciles_total",
            "Looks at a resource, by how they ended",
            &["kind", "result"],
        ),
        reconcile_seconds: register_histogram_vec!(
            "hg_operator_reconcile_seconds",
            "How long a look at a resource took",
            &["kind"],
            vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
        )
        .ok(),
        writes: counter("hg_operator_api_writes_total", "Writes sent to the API server", &["verb", "kind"]),
        queue: register_int_gauge!("hg_operator_queue_depth", "Resources that wait for a worker").ok(),
        acting: register_int_gauge!("hg_operator_acting", "1: this operator acts; 0: it stands by").ok(),
        objects: gauge("hg_operator_objects", "Objects in memory", &["kind"]),
        watch_age: register_gauge_vec!(
            "hg_operator_watch_last_event_age_seconds",
            "Time since a watch last said anything",
            &["kind"]
        )
        .ok(),
        watch_errors: counter("hg_operator_watch_errors_total", "Watches that broke or were refused", &["kind"]),
        lag_records: gauge(
            "hg_operator_mirror_lag_records",
            "Records that a mirror does not show yet",
            &["namespace", "pool", "mirror"],
        ),
    }
});

impl Metrics {
    pub fn wrote(&self, verb: &str, kind: &str) {
        if let Some(writes) = &self.writes {
            writes.with_label_values(&[verb, kind]).inc();
        }
    }

    pub fn looked(&self, kind: &str, result: &str, seconds: f64) {
        if let Some(reconciles) = &self.reconciles {
            reconciles.with_label_values(&[kind, result]).inc();
        }
        if let Some(histogram) = &self.reconcile_seconds {
            histogram.with_label_values(&[kind]).observe(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_can_be_registered() {
        let Metrics { reconciles, reconcile_seconds, writes, queue, acting, objects, .. } = &*METRICS;
        assert!(reconciles.is_some() && reconcile_seconds.is_some() && writes.is_some());
        assert!(queue.is_some() && acting.is_some() && objects.is_some());
        assert!(METRICS.watch_age.is_some() && METRICS.watch_errors.is_some() && METRICS.lag_records.is_some());
    }
}
