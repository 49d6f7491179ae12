//! Access: who may do what with a repository.

use std::collections::BTreeSet;

use protocol::RepositorySettings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub read: bool,
    /// The push gate refuses the others, and everybody while the repository is read-only.
    pub write: bool,
}

/// No readGroups: everybody who can log in reads. Writers read in any case, because a push begins with reading.
/// No writeGroups: nobody pushes.
pub fn decide(settings: &RepositorySettings, groups: &BTreeSet<String>) -> Access {
    let any = |names: &[String]| names.iter().any(|name| groups.contains(name));
    let write = any(&settings.write_groups);
    Access { read: write || settings.read_groups.is_empty() || any(&settings.read_groups), write }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Names = &'static [&'static str];

    #[test]
    fn groups_decide() {
        //   writeGroups, readGroups, the user's groups, read, write
        let table: [(Names, Names, Names, bool, bool); 9] = [
            (&[], &[], &[], true, false),
            (&[], &[], &["dev"], true, false),
            (&["dev"], &[], &[], true, false),
            (&["dev"], &[], &["dev"], true, true),
            (&["dev"], &[], &["Dev"], true, false),
            (&["dev"], &["staff"], &[], false, false),
            (&["dev"], &["staff"], &["staff"], true, false),
            (&["dev"], &["staff"], &["dev"], true, true),
            (&["a", "dev"], &["staff", "b"], &["x", "dev"], true, true),
        ];
        for (write_groups, read_groups, groups, read, write) in table {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let settings = RepositorySettings {
                write_groups: owned(write_groups),
                read_groups: owned(read_groups),
                ..Default::default()
            };
            let groups: BTreeSet<String> = owned(groups).into_iter().collect();
            assert_eq!(decide(&settings, &groups), Access { read, write }, "{settings:?} {groups:?}");
        }
    }
}
