//! Decides which mirrors readers are sent to. Pure: time comes in as the time since this process's start.
//!
//! On Kubernetes the operator is the balancer that the master speaks to (docs/protocols.md, `/v1/endpoints`): it
//! opens a mirror's readiness gate only after a master has answered a report that claims the mirror, and claims it
//! until the gate is seen closed and the Service's EndpointSlices do not name it any more. Connections end a while
//! after that: until then the report says that there may be some.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::InstanceName;
use protocol::endpoints::{Endpoint, Serving, ServingReport};

/// How long a client may go on with a connection to a mirror that the Service does not name any more.
pub const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30);

/// One mirror's pod as the API server shows it. Pods that are gone but still in the EndpointSlices are told too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSeen {
    pub name: InstanceName,
    /// The gate's condition is true.
    pub open: bool,
    /// Readers are sent there.
    pub in_service: bool,
    /// Ended: the container has, and nobody is connected.
    pub ended: bool,
    /// Leaving: the pool shrinks, or the pod is being deleted.
    pub leaving: bool,
}

#[derive(Debug, Default)]
pub struct Gate {
    mirrors: BTreeMap<InstanceName, Mirror>,
    /// A master has answered.
    heard: bool,
}

#[derive(Debug, Default)]
struct Mirror {
    /// As last seen.
    open: bool,
    /// A write that opens it was sent, and may have its effect at any time.
    opening: bool,
    in_service: bool,
    ended: bool,
    leaving: bool,
    present: bool,
    /// The last answer listed it.
    wanted: bool,
    /// A master answered a report that claimed it, and none without it was sent since.
    confirmed: bool,
    /// When it was first seen neither open nor in service; None while it is either.
    left: Option<Duration>,
}

impl Mirror {
    fn used(&self) -> bool {
        self.open || self.opening || self.in_service
    }

    fn claimed(&self) -> bool {
        !self.ended && (self.used() || (self.present && self.wanted && !self.leaving))
    }

    fn may_have_clients(&self, now: Duration) -> bool {
        !self.ended && self.left.is_none_or(|left| now.saturating_sub(left) < MAX_CONNECTION_AGE)
    }
}

/// A gate to open or to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub name: InstanceName,
    pub open: bool,
}

impl Gate {
    /// Takes what the API server shows of all mirrors now.
    pub fn see(&mut self, now: Duration, seen: &[MirrorSeen]) {
        let names: BTreeSet<&InstanceName> = seen.iter().map(|seen| &seen.name).collect();
        for (name, mirror) in &mut self.mirrors {
            if !names.contains(name) {
                (mirror.open, mirror.opening, mirror.in_service, mirror.present) = (false, false, false, false);
            }
        }
        for seen in seen {
            let mirror = self.mirrors.entry(seen.name.clone()).or_default();
            mirror.open = seen.open;
            mirror.in_service = seen.in_service;
            mirror.ended = seen.ended;
            mirror.leaving = seen.leaving;
            mirror.present = true;
        }
        for mirror in self.mirrors.values_mut() {
            mirror.left = if mirror.used() { None } else { mirror.left.or(Some(now)) };
        }
        self.mirrors.retain(|_, mirror| mirror.present || mirror.may_have_clients(now));
    }

    /// Reports what to tell the master now. A mirror that it does not claim must be confirmed anew.
    pub fn report(&mut self, now: Duration) -> ServingReport {
        let mut serving = Vec::new();
        for (name, mirror) in &mut self.mirrors {
            let in_rotation = mirror.claimed();
            mirror.confirmed &= in_rotation;
            let connections = u64::from(in_rotation || mirror.may_have_clients(now));
            if connections > 0 {
                serving.push(Serving { name: name.clone(), connections, in_rotation });
            }
        }
        ServingReport { serving, mirrors: None }
    }

    /// A master answered `report` with what it wants.
    pub fn answered(&mut self, report: &ServingReport, wanted: &[Endpoint]) {
        self.heard = true;
        for (name, mirror) in &mut self.mirrors {
            mirror.wanted = wanted.iter().any(|endpoint| endpoint.name == *name);
            let claimed = report.serving.iter().any(|serving| serving.name == *name && serving.in_rotation);
            mirror.confirmed = mirror.wanted && (mirror.confirmed || claimed);
        }
    }

    /// The gates to turn now.
    pub fn turns(&self) -> Vec<Turn> {
        if !self.heard {
            return Vec::new();
        }
        let turn = |(name, mirror): (&InstanceName, &Mirror)| {
            let stays = mirror.wanted && !mirror.leaving && !mirror.ended;
            // What is open and wanted stays so until it is confirmed again: a new operator closes nothing.
            let (opens, closes) =
                (stays && mirror.confirmed && !mirror.open, !stays && (mirror.open || mirror.opening));
            (mirror.present && (opens || closes)).then(|| Turn { name: name.clone(), open: opens })
        };
        self.mirrors.iter().filter_map(turn).collect()
    }

    /// A turn is being written: it may have its effect from now on.
    pub fn turning(&mut self, turn: &Turn) {
        if let Some(mirror) = self.mirrors.get_mut(&turn.name)
            && turn.open
        {
            mirror.opening = true;
            mirror.left = None;
        }
    }

    /// A turn was written, and what is seen from now on includes it. A turn of unknown outcome is never told here.
    pub fn turned(&mut self, turn: &Turn) {
        if let Some(mirror) = self.mirrors.get_mut(&turn.name) {
            (mirror.opening, mirror.open) = (false, turn.open);
        }
    }

    /// Readers may still be there.
    pub fn is_used(&self, now: Duration, name: &InstanceName) -> bool {
        self.mirrors.get(name).is_some_and(|mirror| mirror.used() || mirror.may_have_clients(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn name() -> InstanceName {
        "web-mirror-0".parse().unwrap()
    }

    fn seen(open: bool, in_service: bool) -> MirrorSeen {
        MirrorSeen { name: name(), open, in_service, ended: false, leaving: false }
    }

    fn wanted() -> Vec<Endpoint> {
        vec![Endpoint { name: name(), address: "a:1".into() }]
    }

    fn told(gate: &mut Gate, now: Duration) -> Option<(u64, bool)> {
        gate.report(now).serving.first().map(|serving| (serving.connections, serving.in_rotation))
    }

    #[test]
    fn a_gate_opens_only_after_a_report_that_claims_the_mirror_was_answered() {
        let mut gate = Gate::default();
        gate.see(at(0), &[seen(false, false)]);
        let first = gate.report(at(0));
        assert!(!first.serving[0].in_rotation);
        gate.answered(&first, &wanted());
        assert_eq!(gate.turns(), []);
        let second = gate.report(at(1));
        assert!(second.serving[0].in_rotation);
        gate.answered(&second, &wanted());
        assert_eq!(gate.turns(), [Turn { name: name(), open: true }]);
    }

    #[test]
    fn a_mirror_is_claimed_until_the_service_has_let_it_go_and_its_connections_are_over() {
        let mut gate = Gate::default();
        gate.see(at(0), &[seen(true, true)]);
        let report = gate.report(at(0));
        gate.answered(&report, &[]);
        assert_eq!(gate.turns(), [Turn { name: name(), open: false }]);
        assert_eq!(told(&mut gate, at(1)), Some((1, true)));
        gate.see(at(2), &[seen(false, true)]);
        assert_eq!(told(&mut gate, at(2)), Some((1, true)));
        gate.see(at(3), &[seen(false, false)]);
        assert_eq!(told(&mut gate, at(3)), Some((1, false)));
        assert_eq!(told(&mut gate, at(32)), Some((1, false)));
        assert!(gate.is_used(at(32), &name()));
        assert_eq!(told(&mut gate, at(33)), None);
        assert!(!gate.is_used(at(33), &name()));
    }

    #[test]
    fn a_turn_under_way_counts_as_open_before_it_is_seen() {
        let mut gate = Gate::default();
        gate.see(at(0), &[seen(false, false)]);
        for _ in 0..2 {
            let report = gate.report(at(0));
            gate.answered(&report, &wanted());
        }
        let turns = gate.turns();
        gate.turning(&turns[0]);
        gate.see(at(1), &[seen(false, false)]);
        let report = gate.report(at(1));
        gate.answered(&report, &[]);
        assert_eq!(told(&mut gate, at(1)), Some((1, true)));
        assert_eq!(gate.turns(), [Turn { name: name(), open: false }]);
        gate.turned(&Turn { name: name(), open: false });
        gate.see(at(2), &[seen(false, false)]);
        assert_eq!(told(&mut gate, at(2)), Some((1, false)));
    }

    #[test]
    fn a_new_operator_turns_nothing_before_it_has_heard_a_master_and_closes_nothing_that_is_wanted() {
        let mut gate = Gate::default();
        gate.see(at(0), &[seen(true, true)]);
        assert_eq!(gate.turns(), []);
        let report = gate.report(at(0));
        gate.answered(&report, &wanted());
        assert_eq!(gate.turns(), []);
    }

    #[test]
    fn a_mirror_that_is_to_go_leaves_first_and_one_whose_container_has_ended_has_no_clients() {
        let mut gate = Gate::default();
        gate.see(at(0), &[MirrorSeen { leaving: true, ..seen(true, true) }]);
        let report = gate.report(at(0));
        gate.answered(&report, &wanted());
        assert_eq!(gate.turns(), [Turn { name: name(), open: false }]);
        gate.see(at(1), &[MirrorSeen { ended: true, ..seen(false, false) }]);
        assert_eq!(told(&mut gate, at(1)), None);
        gate.see(at(2), &[]);
        assert!(!gate.is_used(at(2), &name()));
    }
}
