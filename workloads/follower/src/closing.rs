//! Pushes that are in the log and whose hg child has not yet closed its transaction. Until it has, or has died, the
//! lane leaves the repository to it: asking the repository would only wait for the lock that the child holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{CreationId, Offset};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    Pending,
    /// The child has closed its transaction: the record is applied here.
    Done,
    /// The child failed or is gone: the lane has to recover the repository and to apply the record.
    Lost,
}

type Key = (CreationId, Offset);

#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<Mutex<HashMap<Key, watch::Receiver<Close>>>>);

/// Held by the gate's session; dropping it unsettled counts as lost.
#[derive(Debug)]
pub struct ClosingPush {
    key: Key,
    closing: Closing,
    state: watch::Sender<Close>,
}

impl Closing {
    /// To be called before the record can be seen as committed.
    pub fn begin(&self, repository: CreationId, offset: Offset) -> ClosingPush {
        let (state, seen) = watch::channel(Close::Pending);
        self.lock().insert((repository, offset), seen);
        ClosingPush { key: (repository, offset), closing: self.clone(), state }
    }

    /// How the push ended; `Lost` too when no child of this process made it.
    pub async fn ended(&self, repository: CreationId, offset: Offset) -> Option<Close> {
        let mut seen = self.lock().get(&(repository, offset)).cloned()?;
        let state = seen.wait_for(|state| *state != Close::Pending).await;
        Some(state.map_or(Close::Lost, |state| *state))
    }

    /// No recorded push waits for its child.
    pub fn is_idle(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Close>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClosingPush {
    pub fn offset(&self) -> Offset {
        self.key.1
    }

    pub fn settle(self, close: Close) {
        self.state.send_replace(close);
    }
}

impl Drop for ClosingPush {
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            let lost = *state == Close::Pending;
            if lost {
                *state = Close::Lost;
            }
            lost
        });
        self.closing.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_push_is_lost_and_a_settled_one_is_what_was_said() {
        let closing = Closing::default();
        let push = closing.begin(CreationId(1), Offset(2));
        let waiting = tokio::spawn({
            let closing = closing.clone();
            async move { closing.ended(CreationId(1), Offset(2)).await }
        });
        tokio::task::yield_now().await;
        push.settle(Close::Done);
        assert_eq!(waiting.await.unwrap(), Some(Close::Done));

        let push = closing.begin(CreationId(1), Offset(3));
        let waiting = tokio::spawn({
            let closing = closing.clone();
            async move { closing.ended(CreationId(1), Offset(3)).await }
        });
        tokio::task::yield_now().await;
        drop(push);
        assert_eq!(waiting.await.unwrap(), Some(Close::Lost));
        assert_eq!(closing.ended(CreationId(1), Offset(3)).await, None);
    }
}
