//! How far all lanes are, kept in order so that saying it does not need a look at each of ten thousand lanes.

use std::collections::BTreeSet;

use protocol::{CreationId, Offset};

/// One lane's part in the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// First record that is not applied here; None also in quarantine.
    pub unapplied: Option<Offset>,
    pub unshown: Option<Offset>,
    pub applied: Offset,
    pub shown: Offset,
    pub quarantined: bool,
}

#[derive(Default)]
pub(super) struct Marks {
    unapplied: BTreeSet<(Offset, CreationId)>,
    unshown: BTreeSet<(Offset, CreationId)>,
    applied: BTreeSet<(Offset, CreationId)>,
    shown: BTreeSet<(Offset, CreationId)>,
    quarantined: BTreeSet<CreationId>,
}

impl Marks {
    pub fn update(&mut self, id: CreationId, old: Option<Mark>, new: Option<Mark>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            old.unapplied.map(|offset| self.unapplied.remove(&(offset, id)));
            old.unshown.map(|offset| self.unshown.remove(&(offset, id)));
            self.applied.remove(&(old.applied, id));
            self.shown.remove(&(old.shown, id));
            self.quarantined.remove(&id);
        }
        if let Some(new) = new {
            new.unapplied.map(|offset| self.unapplied.insert((offset, id)));
            new.unshown.map(|offset| self.unshown.insert((offset, id)));
            self.applied.insert((new.applied, id));
            self.shown.insert((new.shown, id));
            if new.quarantined {
                self.quarantined.insert(id);
            }
        }
    }

    pub fn applied_through(&self, received: Offset) -> Offset {
        self.unapplied.first().map_or(received, |(offset, _)| offset.previous())
    }

    pub fn shown_through(&self, received: Offset) -> Offset {
        self.unshown.first().map_or(received, |(offset, _)| offset.previous())
    }

    pub fn quarantined(&self) -> &BTreeSet<CreationId> {
        &self.quarantined
    }

    /// Lanes that the two marks do not describe: ahead of them, or in quarantine.
    pub fn exceptions(&self, received: Offset) -> BTreeSet<CreationId> {
        let after = |set: &BTreeSet<(Offset, CreationId)>, through: Offset| -> Vec<CreationId> {
            set.range((through.next(), CreationId(0))..).map(|(_, id)| *id).collect()
        };
        let mut lanes = self.quarantined.clone();
        lanes.extend(after(&self.applied, self.applied_through(received)));
        lanes.extend(after(&self.shown, self.shown_through(received)));
        lanes
    }
}
