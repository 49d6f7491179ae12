//! Sessions that run, and what their people may do now, which may be less than when they began.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::RepositorySettings;

/// Looks up whether the person may write to a repository of these settings.
pub type MayWrite = Arc<dyn Fn(&RepositorySettings) -> bool + Send + Sync>;

/// By the process id of the session's child, which the kernel tells of whoever connects to the gate.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<u32, MayWrite>>>);

/// A session, until it is dropped.
pub struct Registered {
    sessions: Sessions,
    pid: u32,
}

impl Sessions {
    /// Before the child hears its first word from the client.
    pub fn register(&self, pid: u32, may_write: MayWrite) -> Registered {
        self.known().insert(pid, may_write);
        Registered { sessions: self.clone(), pid }
    }

    /// Processes of our own, as an import's, have no person: what they were started with holds.
    pub(crate) fn may_write(&self, pid: Option<u32>, settings: &RepositorySettings) -> bool {
        let may_write = pid.and_then(|pid| self.known().get(&pid).cloned());
        may_write.is_none_or(|may_write| may_write(settings))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u32, MayWrite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sessions.known().remove(&self.pid);
    }
}
