//! Where an instance may begin again after a power loss.

use std::collections::BTreeMap;

use protocol::{CreationId, Offset, Registry};
use serde::{Deserialize, Serialize};

use super::Lanes;

/// The content of `checkpoint.json`, and with `/v1/snapshot` what a newcomer starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Every record up to here is shown in its repository.
    pub replication: Offset,
    /// The publication log is needed from the entry after this one on.
    pub publication: Offset,
    /// Folded up to `replication`.
    pub registry: Registry,
    /// Records up to `replication` that were not released up to `publication`: those of repositories in quarantine
    /// here; in a master's snapshot all of them.
    #[serde(default)]
    pub unreleased: BTreeMap<CreationId, Vec<Offset>>,
    /// This mirror was active there.
    #[serde(default)]
    pub active: bool,
}

impl Lanes {
    /// Take it, then `syncfs`, then write it: what it promises is on disk then. None while repositories are still to
    /// be opened or, on a newcomer, fetched.
    pub fn checkpoint(&mut self) -> Option<Checkpoint> {
        if self.to_open > 0 {
            return None;
        }
        self.settle();
        let replication = self.marks.shown_through(self.received);
        if replication < self.settled.through() {
            return None;
        }
        Some(Checkpoint {
            replication,
            publication: self.releases.restart(replication),
            registry: self.settled.clone(),
            unreleased: self.releases.unreleased_through(replication),
            active: self.readiness.is_active(),
        })
    }

    /// Folds what is shown everywhere here.
    pub(super) fn settle(&mut self) {
        let through = self.marks.shown_through(self.received);
        while let Some((offset, _)) = self.unsettled.front()
            && *offset <= through
        {
            if let Some((offset, record)) = self.unsettled.pop_front() {
                // An error was told when the record was received, and changes nothing here either.
                let _ = self.settled.apply(offset, &record);
            }
        }
    }
}
