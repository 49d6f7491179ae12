//! Standbys that are connected, and what they have said.

use std::collections::BTreeMap;

use protocol::{DiskId, InstanceName, Offset, PerLog};

pub type Standbys = BTreeMap<InstanceName, StandbySeen>;

/// Seen of a standby: what it has said on the connection that it has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbySeen {
    pub connection: u64,
    pub disk: DiskId,
    /// How far each log is on its disk.
    pub stored: PerLog<Offset>,
    /// Leaving: it is about to end.
    pub leaving: bool,
}

/// Sees what a standby has said on this connection; None once it has a newer one.
pub fn seen<'a>(
    standbys: &'a mut Standbys,
    name: &InstanceName,
    connection: u64,
    disk: &DiskId,
) -> Option<&'a mut StandbySeen> {
    let new = || StandbySeen { connection, disk: disk.clone(), stored: PerLog::default(), leaving: false };
    let standby = standbys.entry(name.clone()).or_insert_with(new);
    if standby.connection < connection {
        *standby = new();
    }
    (standby.connection == connection).then_some(standby)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was asked to end says so again where it connects again, before anything else.
    #[test]
    fn what_a_standby_says_first_counts_until_it_has_a_newer_connection() {
        let name: InstanceName = "hg-ssh-1".parse().unwrap();
        let disk: DiskId = "disk".parse().unwrap();
        let mut standbys = Standbys::new();
        seen(&mut standbys, &name, 2, &disk).unwrap().leaving = true;
        seen(&mut standbys, &name, 2, &disk).unwrap().stored = PerLog::new(Offset(7), Offset(3));
        assert!(standbys[&name].leaving);
        assert!(seen(&mut standbys, &name, 1, &disk).is_none(), "an older connection has nothing to say any more");
        let newer = seen(&mut standbys, &name, 3, &disk).unwrap();
        assert!(!newer.leaving);
        assert_eq!(newer.stored, PerLog::default());
    }
}
