//! Metrics of the server.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// Cheap to copy. `Metrics::new` gives counters that nobody reads yet; `register` shows them.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) commands: IntGauge,
    /// `result`: `accepted`, `failed` (the connection ended before a login), `refused` (too many connections).
    pub(crate) logins: IntCounterVec,
    /// `result`: `served`, `refused`, `abnormal` (Mercurial ended abnormally), `revoked`, `gone` (the client did).
    pub(crate) ended: IntCounterVec,
    /// `direction`: `in` from clients, `out` to them.
    pub(crate) bytes: IntCounterVec,
}

impl Metrics {
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let name = |name: &str, help: &str| Opts::new(format!("hg_operator_ssh_{name}"), help);
        Ok(Metrics {
            connections: IntGauge::with_opts(name("connections", "SSH connections that are open."))?,
            commands: IntGauge::with_opts(name("commands", "SSH commands that are running."))?,
            logins: IntCounterVec::new(name("logins_total", "SSH connections by how the login ended."), &["result"])?,
            ended: IntCounterVec::new(name("commands_total", "SSH commands by how they ended."), &["result"])?,
            bytes: IntCounterVec::new(name("bytes_total", "Bytes of SSH commands."), &["direction"])?,
        })
    }

    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.commands.clone()))?;
        registry.register(Box::new(self.logins.clone()))?;
        registry.register(Box::new(self.ended.clone()))?;
        registry.register(Box::new(self.bytes.clone()))
    }
}
