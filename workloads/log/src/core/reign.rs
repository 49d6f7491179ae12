//! Reign: what a master must know to commit. Its generation, and how far each standby has stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::{DiskId, Generation, Offset};

use crate::refusal::LogError;

/// More instances than any installation has standbys; what is beyond is ignored, which can only delay a commit.
pub const MAX_MEMBERS: usize = 16;

#[derive(Debug)]
pub(super) struct Reign {
    pub generation: Generation,
    in_sync: BTreeSet<DiskId>,
    /// Also of standbys outside of the set, for the one who decides whether they may join.
    acknowledged: Arc<BTreeMap<DiskId, Offset>>,
}

impl Reign {
    /// Acknowledgements of earlier reigns do not count: those members may have been truncated since.
    pub fn new(generation: Generation, in_sync: BTreeSet<DiskId>) -> Result<Reign, LogError> {
        let mut reign = Reign { generation, in_sync: BTreeSet::new(), acknowledged: Arc::default() };
        reign.require(in_sync)?;
        Ok(reign)
    }

    /// Replaces the set whose acknowledgement a commit needs.
    pub fn require(&mut self, in_sync: BTreeSet<DiskId>) -> Result<(), LogError> {
        if in_sync.len() > MAX_MEMBERS {
            return Err(LogError::TooManyMembers { members: in_sync.len(), limit: MAX_MEMBERS });
        }
        self.in_sync = in_sync;
        Ok(())
    }

    pub fn acknowledge(&mut self, member: DiskId, through: Offset) {
        let room = self.acknowledged.len() < 2 * MAX_MEMBERS || self.in_sync.contains(&member);
        let known = self.acknowledged.get(&member).copied();
        if known.map_or(room, |known| known < through) {
            Arc::make_mut(&mut self.acknowledged).insert(member, through);
        }
    }

    pub fn stored_everywhere(&self, durable: Offset) -> Offset {
        let members = self.in_sync.iter();
        members.map(|member| self.acknowledged.get(member).copied().unwrap_or_default()).fold(durable, Offset::min)
    }

    pub fn acknowledged(&self) -> Arc<BTreeMap<DiskId, Offset>> {
        self.acknowledged.clone()
    }
}
