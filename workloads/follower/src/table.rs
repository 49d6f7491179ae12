//! Table of what the lanes of this instance have reached, for everyone else in the process: the push gate, the HTTP
//! front, status.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::{ChangesetId, CreationId, Offset};
use tokio::sync::watch;
use tokio::time::Instant;

/// One repository on this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneRow {
    pub applied: Offset,
    pub shown: Offset,
    pub tip: Option<ChangesetId>,
    pub heads: u64,
    pub changesets: u64,
    /// Clients may be sent to it.
    pub routable: bool,
    pub quarantined: bool,
    /// Locks of an earlier life are broken, and its state is known.
    pub opened: bool,
    /// Somebody is mending what an abnormal end left behind.
    pub recovering: u32,
}

#[derive(Debug, Default)]
struct Rows {
    /// With the change that made each what it is.
    views: BTreeMap<CreationId, (u64, LaneRow)>,
    /// By that change.
    changes: BTreeMap<u64, CreationId>,
    newest: u64,
}

#[derive(Debug)]
pub struct LaneTable {
    lanes: Mutex<Rows>,
    /// Grows with every change.
    ticks: watch::Sender<u64>,
}

impl Default for LaneTable {
    fn default() -> LaneTable {
        LaneTable { lanes: Mutex::default(), ticks: watch::channel(0).0 }
    }
}

impl LaneTable {
    pub fn get(&self, id: CreationId) -> Option<LaneRow> {
        self.lock().views.get(&id).map(|(_, view)| view.clone())
    }

    /// Changes one lane's view, making it if it is new, and wakes all who wait.
    pub fn update(&self, id: CreationId, change: impl FnOnce(&mut LaneRow)) {
        let mut lanes = self.lock();
        let Rows { views, changes, newest } = &mut *lanes;
        *newest += 1;
        let (when, view) = views.entry(id).or_default();
        changes.remove(when);
        changes.insert(*newest, id);
        *when = *newest;
        change(view);
        drop(lanes);
        self.ticks.send_modify(|n| *n += 1);
    }

    pub fn remove(&self, id: CreationId) {
        let mut lanes = self.lock();
        if let Some((when, _)) = lanes.views.remove(&id) {
            lanes.changes.remove(&when);
        }
        drop(lanes);
        self.ticks.send_modify(|n| *n += 1);
    }

    /// The lanes that have changed after this change, and what the next one is to be asked with; the first is 0. Of
    /// those that were removed nothing is said.
    pub fn changed_since(&self, change: u64) -> (u64, Vec<CreationId>) {
        let lanes = self.lock();
        (lanes.newest, lanes.changes.range(change + 1..).map(|(_, id)| *id).collect())
    }

    /// Wakes at every change of any lane.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    /// Waits until the lane is as asked; false when the deadline passed first.
    pub async fn wait(&self, id: CreationId, deadline: Instant, is: impl Fn(&LaneRow) -> bool) -> bool {
        let mut ticks = self.watch();
        loop {
            ticks.mark_unchanged();
            if self.get(id).is_some_and(|lane| is(&lane)) {
                return true;
            }
            match tokio::time::timeout_at(deadline, ticks.changed()).await {
                Ok(Ok(())) => {}
                _ => return false,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        // Nothing panics while it is held, and a view is a copy of what the repositories say themselves.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_told_of_once_for_all_its_changes_since() {
        let table = LaneTable::default();
        let [one, two] = [CreationId(1), CreationId(2)];
        for id in [one, two, one] {
            table.update(id, |view| view.heads += 1);
        }
        let (newest, changed) = table.changed_since(0);
        assert_eq!(changed, [two, one]);
        assert_eq!(table.changed_since(newest), (newest, Vec::new()));
        table.update(two, |view| view.heads += 1);
        assert_eq!(table.changed_since(newest).1, [two]);
        table.remove(two);
        assert_eq!(table.changed_since(0).1, [one]);
        assert_eq!((table.get(one).map(|view| view.heads), table.get(two)), (Some(2), None));
    }
}
