//! The end of a reign that everybody agrees on: no more pushes are taken, and those that were become final.

use std::time::Duration;

use follower::Closing;
use push_gate::Ledger;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long pushes that were taken may need to become final.
const FINAL: Duration = Duration::from_secs(2);
/// When nothing comes of it, pushes are taken again.
const LONGEST: Duration = Duration::from_secs(10);

/// Until when no push is taken.
pub struct Drain(watch::Sender<Option<Instant>>);

impl Drain {
    pub fn new() -> Drain {
        Drain(watch::Sender::new(None))
    }

    pub fn watch(&self) -> watch::Receiver<Option<Instant>> {
        self.0.subscribe()
    }

    /// True: everything that was taken is final.
    pub async fn start(&self, ledger: &Ledger, closing: &Closing) -> bool {
        tracing::warn!("no more pushes are taken: another master is to be named");
        let deadline = Instant::now() + FINAL;
        self.0.send_replace(Some(Instant::now() + LONGEST));
        let settled = ledger.settled(deadline).await;
        // Their clients are answered by hg itself, a moment after the record is final.
        while !closing.is_idle() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        settled
    }
}
