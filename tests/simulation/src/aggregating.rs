//! The aggregator beside the master.

use std::time::Duration;

use aggregator::Options;
use log::core::Event;
use protocol::{LogName, Record};

use crate::ssh::Meant;
use crate::world::{World, note};

/// Short bounds, so that mirrors come and go.
pub fn options() -> Options {
    Options {
        max_lag_records: 25,
        max_lag: Duration::from_secs(4),
        join_lag_records: 4,
        unreachable_after: Duration::from_secs(3),
        max_report_age: Duration::from_secs(2),
        max_connection_age: Duration::from_secs(5),
        max_batch_offsets: 8,
        refresh_after_entries: 40,
        ..Options::default()
    }
}

impl World {
    /// Answers whether this master knows what was decided before its reign.
    pub fn aggregates(&self, index: usize) -> bool {
        let reign = self.ssh[index].up.as_ref().and_then(|up| up.reign.as_ref());
        reign.is_some_and(|reign| reign.publishing.knows_the_logs())
    }

    pub fn aggregate(&mut self) {
        for index in 0..self.ssh.len() {
            if !self.is_paused(crate::nodes::Node::Ssh(index)) {
                self.aggregate_on(index);
            }
        }
    }

    fn aggregate_on(&mut self, index: usize) {
        self.feed_aggregator(index);
        let now = self.now;
        let Some(reign) = self.ssh[index].up.as_mut().and_then(|up| up.reign.as_mut()) else { return };
        reign.publishing.core.tick(now);
        let Some(records) = reign.publishing.batch() else { return };
        let generation = reign.generation;
        let active = reign.publishing.core.active();
        note!(self, "ssh-{index} says {records:?}");
        self.check_decision(&active, &records, index);
        if records.iter().any(|record| matches!(record, Record::MirrorInactive(_))) {
            self.happened("mirrors out of the active set");
        }
        let Some(up) = &mut self.ssh[index].up else { return };
        let ticket = up.ticket(LogName::Publication, Meant::Batch);
        let records = records.iter().map(Record::encode).collect();
        up.handle(LogName::Publication, Event::Append { ticket, generation, records });
        self.settle_ssh(index);
    }
}
