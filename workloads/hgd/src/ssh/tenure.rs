//! Tenure: for how long this master may write to a volume that others can open, too.

use std::sync::Arc;
use std::time::Duration;

use failover::LeaseTimes;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub struct Tenure {
    lease: LeaseTimes,
    /// By [`boot_time`].
    until: Arc<watch::Sender<Duration>>,
}

impl Tenure {
    /// Over already: the opening that takes the first generation renews it.
    pub fn new(settings: &config::SharedVolume) -> Tenure {
        let lease = LeaseTimes {
            renew_deadline: Duration::from_secs(settings.renew_deadline_seconds),
            retry_period: Duration::from_secs(settings.retry_period_seconds),
        };
        Tenure { lease, until: Arc::new(watch::Sender::new(Duration::ZERO)) }
    }

    /// The register was written by this master, with a request that was sent then.
    pub fn renewed(&self, sent: Duration) {
        let until = self.lease.good_until(sent);
        self.until.send_if_modified(|before| std::mem::replace(before, until) != until);
    }

    /// When the next renewal is to be sent.
    pub fn next(&self, sent: Duration, succeeded: bool) -> Duration {
        self.lease.next(sent, succeeded)
    }

    /// Asked at the moment itself: what was so before the process, or the machine, stood still says nothing.
    pub fn holds(&self) -> bool {
        boot_time() < *self.until.borrow()
    }

    /// How long it holds from now on, if nothing renews it.
    pub fn left(&self) -> Duration {
        self.until.borrow().saturating_sub(boot_time())
    }

    /// Seen when it is renewed.
    pub fn watch(&self) -> watch::Receiver<Duration> {
        self.until.subscribe()
    }

    /// Until it holds.
    pub async fn held(&self) {
        let mut until = self.until.subscribe();
        // The sender is here as long as this is.
        let _held = until.wait_for(|until| boot_time() < *until).await;
    }
}

/// Since the machine was started. Goes on while it sleeps, which the clocks of a runtime do not.
pub fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
