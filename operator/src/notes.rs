//! Notes that promotions leave for whoever reports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics;
use crate::world::cache::Name;

/// Note that promotions leave for the status, and what a rollout asks for.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Why there is no promotion though there should be.
    pub trouble: Option<String>,
    /// A rollout wants another master than the one of this generation.
    pub roll: Option<u64>,
}

#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<HashMap<Name, Note>>>);

impl Notes {
    pub fn get(&self, master: &Name) -> Note {
        self.lock().get(master).cloned().unwrap_or_default()
    }

    pub fn change(&self, master: &Name, change: impl FnOnce(&mut Note)) {
        change(self.lock().entry(master.clone()).or_default());
    }

    /// Whether that is another trouble than before.
    pub fn trouble(&self, master: &Name, trouble: Option<String>) -> bool {
        metrics::told_of_master(|metrics| &metrics.promotion_blocked, master, Some(trouble.is_some()));
        let mut all = self.lock();
        let note = all.entry(master.clone()).or_default();
        let changed = note.trouble != trouble;
        note.trouble = trouble;
        changed
    }

    pub fn forget(&self, master: &Name) {
        metrics::told_of_master(|metrics| &metrics.promotion_blocked, master, None);
        self.lock().remove(master);
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
