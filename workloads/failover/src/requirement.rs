//! Requirement: whom commits need now, as a master's keeper has decided it. For its logs, and for whoever asks whether
//! a push can be taken.

use std::collections::BTreeSet;

use protocol::{DiskId, InstanceName};

use crate::keeper::{Keeper, Members};

/// Requirement: whom commits need now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    pub members: Members,
    /// The set as the register is known to hold it.
    pub in_sync: BTreeSet<InstanceName>,
    /// False: nobody but this instance would have a push.
    pub enough: bool,
    /// Volume that all instances have, which has a word of its own.
    pub volume: Option<DiskId>,
}

impl Requirement {
    pub fn of(keeper: &Keeper, volume: Option<DiskId>) -> Requirement {
        let (members, in_sync) = (keeper.required().clone(), keeper.in_sync().clone());
        Requirement { members, in_sync, enough: keeper.enough(), volume }
    }

    /// Answers whether what this standby says is on its disk counts for commits.
    pub fn counts(&self, name: &InstanceName, disk: &DiskId) -> bool {
        counts(&self.members, name, disk)
    }

    /// As the logs know it.
    pub fn disks(&self) -> BTreeSet<DiskId> {
        disks(&self.members).into_iter().chain(self.volume.clone()).collect()
    }
}

/// Answers whether what the instance says is on this disk counts where commits need these members.
pub fn counts(members: &Members, name: &InstanceName, disk: &DiskId) -> bool {
    members.get(name).is_some_and(|meant| meant.as_ref() == Some(disk))
}

/// Disks as the logs know them. A member whose disk the register does not know yet is waited for under its name, which
/// is no disk's id.
pub fn disks(members: &Members) -> BTreeSet<DiskId> {
    let disk = |(name, disk): (&InstanceName, &Option<DiskId>)| disk.clone().or_else(|| name.as_str().parse().ok());
    members.iter().filter_map(disk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_counts_on_the_disk_that_the_register_means() {
        let name = |text: &str| text.parse::<InstanceName>().unwrap();
        let disk = |text: &str| text.parse::<DiskId>().unwrap();
        let known = disk("0123456789abcdef0123456789abcdef");
        let members = Members::from([(name("ssh-1"), Some(known.clone())), (name("ssh-2"), None)]);
        let requirement = Requirement { members, ..Requirement::default() };
        assert!(requirement.counts(&name("ssh-1"), &known));
        let other = disk("fedcba9876543210fedcba9876543210");
        for (who, on) in [("ssh-1", &other), ("ssh-2", &known), ("ssh-3", &known)] {
            assert!(!requirement.counts(&name(who), on), "{who} {on:?}");
        }
        assert_eq!(requirement.disks(), BTreeSet::from([known, disk("ssh-2")]));
    }
}
