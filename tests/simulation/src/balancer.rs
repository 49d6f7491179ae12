//! The balancer: sends clients to the mirrors that the master names and that say that they are ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::InstanceName;
use protocol::endpoints::Serving;

use crate::world::{MIRRORS, World, note};

#[derive(Default)]
pub struct Balancer {
    /// The master's last answer.
    wanted: BTreeSet<InstanceName>,
    /// Open connections, with the time by which they end.
    connections: BTreeMap<InstanceName, (u64, Duration)>,
    /// On its way to this master.
    report: Option<(usize, Vec<Serving>)>,
}

impl World {
    pub fn in_rotation(&self, index: usize) -> bool {
        let mirror = &self.mirrors[index];
        mirror.up.as_ref().is_some_and(|up| up.ready) && self.balancer.wanted.contains(&mirror.name)
    }

    /// Clients can reach it.
    pub fn serves(&self, index: usize) -> bool {
        let mirror = &self.mirrors[index];
        let connected = self.balancer.connections.get(&mirror.name).is_some_and(|(count, _)| *count > 0);
        mirror.up.is_some() && (connected || self.in_rotation(index))
    }

    pub fn balance(&mut self) {
        for index in 0..MIRRORS {
            let name = self.mirrors[index].name.clone();
            if self.in_rotation(index) {
                // No connection lives longer than the bound that the aggregator knows.
                let count = self.chance.below(3) as u64;
                self.balancer.connections.insert(name, (count, self.now + Duration::from_secs(4)));
            } else {
                let ends = self.chance.one_in(3) || self.mirrors[index].up.is_none();
                let (count, until) = self.balancer.connections.get(&name).copied().unwrap_or_default();
                let count = if ends || until < self.now { 0 } else { count };
                self.balancer.connections.insert(name, (count, until));
            }
        }
        match self.balancer.report.take() {
            None => {
                let master = self.master().unwrap_or(0);
                self.balancer.report = Some((master, self.report()));
            }
            Some((master, report)) => self.deliver_report(master, &report),
        }
    }

    fn report(&self) -> Vec<Serving> {
        let serving = |index: usize| Serving {
            name: self.mirrors[index].name.clone(),
            connections: self.balancer.connections.get(&self.mirrors[index].name).map_or(0, |(count, _)| *count),
            in_rotation: self.in_rotation(index),
        };
        (0..MIRRORS).map(serving).collect()
    }

    fn deliver_report(&mut self, master: usize, report: &[Serving]) {
        if !self.aggregates(master) {
            return;
        }
        let now = self.now;
        let Some(reign) = self.ssh[master].up.as_mut().and_then(|up| up.reign.as_mut()) else { return };
        reign.publishing.core.endpoints(report, now);
        let wanted: BTreeSet<InstanceName> = reign.publishing.core.desired().into_iter().collect();
        if wanted != self.balancer.wanted {
            note!(self, "balancer uses {wanted:?}");
        }
        self.balancer.wanted = wanted;
        for index in 0..MIRRORS {
            self.check_all_lanes(index);
        }
    }
}
