//! How a mirror leaves the active set: first no client is sent there, and only when the balancer has reported that
//! none is there any more, publication stops waiting for it.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::InstanceName;
use protocol::endpoints::Serving;
use protocol::record::InactiveReason;

use crate::core::Core;
use crate::lag::{Lag, lag};
use crate::mirror::Mirror;

/// A report that was under way when the mirror was taken from the endpoints may still be followed by a new connection,
/// the one after it was made in the knowledge of the new endpoints.
const REPORTS_BEFORE_PROOF: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub reason: InactiveReason,
    /// Reports since it was taken from the endpoints.
    reports: u32,
    /// Seen out of rotation since.
    out_since: Option<Duration>,
    idle: bool,
}

impl Leaving {
    fn new(reason: InactiveReason) -> Leaving {
        Leaving { reason, reports: 0, out_since: None, idle: false }
    }

    fn report(&mut self, serving: Option<&Serving>, now: Duration) {
        self.reports = self.reports.saturating_add(1);
        let out = serving.is_none_or(|serving| !serving.in_rotation) && self.reports >= REPORTS_BEFORE_PROOF;
        self.out_since = if out { self.out_since.or(Some(now)) } else { None };
        self.idle = out && serving.is_none_or(|serving| serving.connections == 0);
    }

    fn is_gone(&self, max_connection_age: Duration, now: Duration) -> bool {
        self.idle || self.out_since.is_some_and(|since| now.saturating_sub(since) >= max_connection_age)
    }
}

impl Core {
    /// Takes the endpoints that the balancer says it uses. One balancer, which asks again only after it has followed
    /// the last answer.
    pub fn endpoints(&mut self, report: &[Serving], now: Duration) {
        self.advance(now);
        self.reported = Some(self.now);
        for (name, mirror) in &mut self.mirrors {
            if let Some(leaving) = &mut mirror.leaving {
                leaving.report(report.iter().find(|serving| serving.name == *name), now);
            }
        }
    }

    /// Those that are not among them and not connected are no longer part of the installation: they leave whatever the
    /// floor says. One that is connected shows that the word of its end is early, or wrong.
    pub fn only_these_exist(&mut self, names: &BTreeSet<InstanceName>, now: Duration) {
        self.advance(now);
        for (name, mirror) in &mut self.mirrors {
            let exists = mirror.connected || names.contains(name);
            match (exists, mirror.removed) {
                (false, false) => {
                    mirror.removed = true;
                    mirror.leaving = Some(Leaving::new(InactiveReason::Removed));
                }
                (true, true) => {
                    // Whether it leaves for another reason is judged anew.
                    mirror.removed = false;
                    mirror.leaving = None;
                }
                (true, false) | (false, true) => {}
            }
        }
    }

    /// Mirrors that no client uses any more, as far as a fresh report proves it.
    pub(crate) fn gone(&self) -> Vec<(InstanceName, InactiveReason)> {
        let fresh = self.reported.is_some_and(|at| self.now.saturating_sub(at) <= self.options.max_report_age);
        let gone = |mirror: &Mirror| {
            let leaving = mirror.leaving.filter(|_| fresh && mirror.active.is_some())?;
            leaving.is_gone(self.options.max_connection_age, self.now).then_some(leaving.reason)
        };
        self.mirrors.iter().filter_map(|(name, mirror)| Some((name.clone(), gone(mirror)?))).collect()
    }

    /// Decides who is to leave, and who may stay after all.
    pub(crate) fn judge(&mut self) {
        let mut late: Vec<(bool, Lag, InstanceName, InactiveReason)> = Vec::new();
        for (name, mirror) in &mut self.mirrors {
            if mirror.active.is_none() || mirror.removed {
                continue;
            }
            let lag = lag(mirror, &self.backlog, &self.commits, self.now);
            let silent = !mirror.connected && self.now.saturating_sub(mirror.since) > self.options.unreachable_after;
            let behind = lag.records > self.options.max_lag_records || lag.time > self.options.max_lag;
            let caught_up = mirror.connected && lag.records <= self.options.join_lag_records;
            match (silent, behind) {
                (true, _) => late.push((true, lag, name.clone(), InactiveReason::Unreachable)),
                (false, true) => late.push((false, lag, name.clone(), InactiveReason::Lagging)),
                (false, false) if caught_up => mirror.leaving = None,
                (false, false) => {}
            }
        }
        // The worst first, since the floor may keep the last ones.
        late.sort_by(|a, b| (b.0, b.1, &b.2).cmp(&(a.0, a.1, &a.2)));
        let active = self.mirrors.values().filter(|mirror| mirror.active.is_some());
        let mut staying = active.filter(|mirror| mirror.leaving.is_none()).count();
        self.at_floor = false;
        for (_, _, name, reason) in late {
            let Some(mirror) = self.mirrors.get_mut(&name).filter(|mirror| mirror.leaving.is_none()) else { continue };
            if staying > self.options.min_active {
                staying -= 1;
                mirror.leaving = Some(Leaving::new(reason));
            } else {
                self.at_floor = true;
            }
        }
    }
}
