//! Metrics of the gate.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use crate::messages::Answer;

/// Cheap to copy.
#[derive(Clone, Debug)]
pub struct GateMetrics {
    /// `outcome`: `recorded`, `refused` (nothing is in the log), `unknown` (it may be).
    pushes: IntCounterVec,
    append: Histogram,
}

impl GateMetrics {
    pub fn new(registry: &Registry) -> Result<GateMetrics, prometheus::Error> {
        let pushes = Opts::new("hg_operator_pushes_total", "Pushes that came to the gate, by how that ended.");
        let append = HistogramOpts::new(
            "hg_operator_push_append_seconds",
            "From a push at the gate to its record, committed by every in-sync standby.",
        );
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0];
        let metrics = GateMetrics {
            pushes: IntCounterVec::new(pushes, &["outcome"])?,
            append: Histogram::with_opts(append.buckets(buckets))?,
        };
        // So that a rate can be taken from the first one on.
        for outcome in ["recorded", "refused", "unknown"] {
            metrics.pushes.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.pushes.clone()))?;
        registry.register(Box::new(metrics.append.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn count(&self, answer: &Answer) {
        let outcome = match answer {
            Answer::Recorded { seconds, .. } => {
                self.append.observe(*seconds);
                "recorded"
            }
            Answer::Refuse(_) => "refused",
            Answer::Unknown(_) => "unknown",
            // Leave to go on: no outcome yet.
            Answer::Ok { .. } => return,
        };
        self.pushes.with_label_values(&[outcome]).inc();
    }
}
