//! A master on which pushes fail for a reason of its own is succeeded by an instance that says nothing of the kind.

use std::collections::BTreeSet;

use protocol::InstanceName;

use super::{Look, Memory, Policy, Reason, Step, Trouble};

impl Look<'_> {
    /// None: pushes can be taken, or a person's wish is to be looked at first.
    pub(super) fn relieved(
        &self,
        master: &InstanceName,
        successors: &BTreeSet<InstanceName>,
        policy: &Policy,
        memory: &Memory,
    ) -> Option<Step> {
        if self.is_able(master) {
            return None;
        }
        let wished = self.observed.wish.as_ref().is_some_and(|wish| wish.to != *master);
        let waits = |trouble| (!wished).then_some(Step::Wait(trouble));
        let reigned = self.now.saturating_sub(self.since);
        if !policy.enabled {
            waits(Trouble::Disabled)
        } else if !successors.iter().any(|name| name != master && self.is_able(name)) {
            waits(Trouble::NobodyAble)
        } else if let Some(patience) = memory.backoff.wait(self.now, policy).filter(|patience| reigned < *patience) {
            waits(Trouble::TooSoon(patience))
        } else {
            Some(self.freeze(Reason::Unable))
        }
    }

    fn is_able(&self, name: &InstanceName) -> bool {
        self.answer(name).is_some_and(|report| report.unable.is_none())
    }
}
