//! State that the balancer's tasks share.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::InstanceName;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::decide::Rotation;

pub(crate) struct State {
    started: Instant,
    rotation: Mutex<Rotation>,
    /// Cancelled when the connections to an endpoint must end.
    closing: Mutex<HashMap<InstanceName, CancellationToken>>,
    /// When an endpoint last said something on any connection.
    heard: Mutex<HashMap<InstanceName, Instant>>,
    /// There is something to report before the next tick.
    pub(crate) report: Notify,
    /// Endpoints came into use.
    pub(crate) usable: Notify,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            started: Instant::now(),
            rotation: Mutex::default(),
            closing: Mutex::default(),
            heard: Mutex::default(),
            report: Notify::new(),
            usable: Notify::new(),
        }
    }

    /// Changes or reads the rotation; what follows from a change is set off here.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Rotation, Duration) -> T) -> T {
        let now = self.started.elapsed();
        let mut rotation = self.rotation.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (claims(&rotation), rotation.in_use());
        let result = act(&mut rotation, now);
        let after = (claims(&rotation), rotation.in_use());
        drop(rotation);
        if before.0 != after.0 {
            self.report.notify_one();
        }
        if before.1 != after.1 {
            let names: Vec<&str> = after.1.iter().map(|endpoint| endpoint.name.as_str()).collect();
            tracing::info!(?names, "endpoints in use");
            self.usable.notify_waiters();
        }
        result
    }

    /// None: the endpoint is not in use.
    pub(crate) fn count(&self, name: &InstanceName) -> Option<Counted<'_>> {
        let opened = self.with(|rotation, _| rotation.opened(name));
        opened.then(|| Counted { state: self, name: name.clone() })
    }

    pub(crate) fn hears(&self, name: &InstanceName) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get_mut(name) {
            Some(at) => *at = Instant::now(),
            None => drop(heard.insert(name.clone(), Instant::now())),
        }
    }

    /// Answers whether an endpoint has said something within this time.
    pub(crate) fn has_heard(&self, name: &InstanceName, within: Duration) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(name).is_some_and(|at| at.elapsed() < within)
    }

    pub(crate) fn closing(&self, name: &InstanceName) -> CancellationToken {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        closing.entry(name.clone()).or_default().clone()
    }

    pub(crate) fn close(&self, name: &InstanceName) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = closing.remove(name) {
            token.cancel();
        }
    }
}

fn claims(rotation: &Rotation) -> Vec<(InstanceName, bool)> {
    rotation.report().serving.into_iter().map(|serving| (serving.name, serving.in_rotation)).collect()
}

/// One connection to an endpoint, or an attempt; it is counted until this is dropped.
pub(crate) struct Counted<'a> {
    state: &'a State,
    pub(crate) name: InstanceName,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.state.with(|rotation, now| rotation.closed(now, &self.name));
    }
}
