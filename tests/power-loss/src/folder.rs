//! The names of one folder, and the changes of names that a power loss may undo.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

pub type Number = u64;
pub type Names = BTreeMap<OsString, Number>;

#[derive(Debug, Default)]
pub struct Folder {
    pub now: Names,
    pub durable: Names,
}

/// Change by one call, wholly or not at all: two names where something is renamed.
#[derive(Debug)]
pub struct Change(pub Vec<Entry>);

/// From here on this name means that file, or nothing.
#[derive(Clone, Debug)]
pub struct Entry {
    pub folder: Number,
    pub name: OsString,
    pub means: Option<Number>,
}

impl Entry {
    pub fn make(&self, names: &mut Names) {
        match self.means {
            Some(number) => _ = names.insert(self.name.clone(), number),
            None => _ = names.remove(&self.name),
        }
    }
}

/// Takes out, in their order, the changes that `fsync` of `folder` makes durable: its own, and, because a rename is
/// not torn apart, those before it in the other folder.
pub fn synced(unsynced: &mut Vec<Change>, folder: Number) -> Vec<Change> {
    let mut folders = BTreeSet::from([folder]);
    let (mut synced, mut left) = (Vec::new(), Vec::new());
    for change in unsynced.drain(..).rev() {
        if change.0.iter().any(|entry| folders.contains(&entry.folder)) {
            folders.extend(change.0.iter().map(|entry| entry.folder));
            synced.push(change);
        } else {
            left.push(change);
        }
    }
    left.reverse();
    synced.reverse();
    *unsynced = left;
    synced
}
