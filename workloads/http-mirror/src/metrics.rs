//! Metrics of the front. Labels are classes, never names of repositories, clients or commands.

use std::collections::HashMap;

use mercurial::{Class, WebPool};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Kind of request, as the label `class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WireLight,
    WireHeavy,
    PageLight,
    PageHeavy,
    Index,
    /// Own: a page below `/-/`.
    Own,
    /// Answered without a worker: refusals and mistakes.
    Refused,
}

impl Kind {
    pub(crate) fn of(is_command: bool, class: Class) -> Kind {
        match (is_command, class) {
            (true, Class::Light) => Kind::WireLight,
            (true, Class::Heavy) => Kind::WireHeavy,
            (false, Class::Light) => Kind::PageLight,
            (false, Class::Heavy) => Kind::PageHeavy,
        }
    }

    pub(crate) fn is_heavy(self) -> bool {
        matches!(self, Kind::WireHeavy | Kind::PageHeavy)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::WireLight => "wire-light",
            Kind::WireHeavy => "wire-heavy",
            Kind::PageLight => "page-light",
            Kind::PageHeavy => "page-heavy",
            Kind::Index => "index",
            Kind::Own => "own",
            Kind::Refused => "refused",
        }
    }
}

#[derive(Clone)]
pub struct FrontMetrics {
    pub(crate) requests: IntCounterVec,
    pub(crate) seconds: HistogramVec,
    pub(crate) bytes: IntCounterVec,
    pub(crate) connections: IntGauge,
    /// Requests that a peer was asked to answer.
    pub(crate) forwarded: IntCounterVec,
}

impl FrontMetrics {
    /// Registers everything, also what is read from the workers when somebody asks.
    pub fn new(registry: &Registry, web: WebPool) -> Result<FrontMetrics, prometheus::Error> {
        let metrics = FrontMetrics {
            requests: IntCounterVec::new(
                Opts::new("hg_operator_http_requests_total", "Requests answered, by class and status."),
                &["class", "status"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("hg_operator_http_request_seconds", "From a request's header to its answer's end.")
                    .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0]),
                &["class"],
            )?,
            bytes: IntCounterVec::new(
                Opts::new("hg_operator_http_response_bytes_total", "Bytes of response bodies, before any encryption."),
                &["class"],
            )?,
            connections: IntGauge::new("hg_operator_http_connections", "Connections of clients that are open now.")?,
            forwarded: IntCounterVec::new(
                Opts::new("hg_operator_http_forwarded_total", "Requests sent to a peer, by whether one answered."),
                &["answered"],
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.forwarded.clone()))?;
        registry.register(Box::new(PoolCollector::new(web)?))?;
        Ok(metrics)
    }
}

struct PoolCollector {
    web: WebPool,
    busy: IntGaugeVec,
    workers: IntGaugeVec,
    waiting: IntGaugeVec,
}

impl PoolCollector {
    fn new(web: WebPool) -> Result<PoolCollector, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let opts = Opts { const_labels: HashMap::new(), ..Opts::new(name, help) };
            IntGaugeVec::new(opts, &["class"])
        };
        Ok(PoolCollector {
            web,
            busy: gauge("hg_operator_web_workers_busy", "Web workers that are answering a request now.")?,
            workers: gauge("hg_operator_web_workers", "How many web workers there may be.")?,
            waiting: gauge("hg_operator_web_queue", "Requests that wait for a web worker now.")?,
        })
    }
}

impl Collector for PoolCollector {
    fn desc(&self) -> Vec<&Desc> {
        [&self.busy, &self.workers, &self.waiting].into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        for (label, class) in [("light", Class::Light), ("heavy", Class::Heavy)] {
            let load = self.web.load(class);
            self.busy.with_label_values(&[label]).set(number(load.busy));
            self.workers.with_label_values(&[label]).set(number(load.workers));
            self.waiting.with_label_values(&[label]).set(number(load.waiting));
        }
        [&self.busy, &self.workers, &self.waiting].into_iter().flat_map(Collector::collect).collect()
    }
}
