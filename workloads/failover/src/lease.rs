//! Lease of a master whose volume others can open, too: for how long it may write. Times are of a clock that does not
//! stand still while the machine sleeps (`CLOCK_BOOTTIME`).

use std::time::Duration;

use register::Version;

/// Between the last moment in which the master writes and the one in which its lease is given up: for what is on its
/// way to the disk.
const MARGIN: Duration = Duration::from_secs(1);
/// After an attempt that failed.
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Without a renewal for this long the master refuses writes.
    pub renew_deadline: Duration,
    /// Between two renewals.
    pub retry_period: Duration,
}

impl LeaseTimes {
    /// Until when the master may write, by a renewal that succeeded and was sent then. When its answer came says
    /// nothing: it may have been under way for any time.
    pub fn good_until(&self, sent: Duration) -> Duration {
        sent + self.renew_deadline.saturating_sub(MARGIN)
    }

    /// When the next attempt is to be sent.
    pub fn next(&self, sent: Duration, succeeded: bool) -> Duration {
        sent + if succeeded { self.retry_period } else { self.retry_period.min(AGAIN) }
    }
}

/// For how long a register has not been renewed, as far as this one has seen: whoever has only just begun to look
/// takes it for renewed.
#[derive(Clone, Debug, Default)]
pub struct Renewals(Option<(Version, Duration)>);

impl Renewals {
    /// Sees it with this version now, and answers for how long.
    pub fn still_for(&mut self, now: Duration, version: &Version) -> Duration {
        let known = self.0.take().filter(|(known, _)| known == version);
        let (_, since) = self.0.insert(known.unwrap_or_else(|| (version.clone(), now)));
        now.saturating_sub(*since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_counts_from_its_sending_and_ends_before_the_lease_does() {
        let seconds = Duration::from_secs;
        let lease = LeaseTimes { renew_deadline: seconds(10), retry_period: seconds(2) };
        assert_eq!(lease.good_until(seconds(100)), seconds(109));
        assert_eq!(lease.next(seconds(100), true), seconds(102));
        assert_eq!(lease.next(seconds(100), false), Duration::from_millis(100_500));
        let hasty = LeaseTimes { renew_deadline: MARGIN, retry_period: Duration::from_millis(100) };
        assert_eq!(hasty.good_until(seconds(100)), seconds(100), "never before it was sent");
        assert_eq!(hasty.next(seconds(100), false), Duration::from_millis(100_100));
    }

    #[test]
    fn a_register_is_unrenewed_for_as_long_as_this_one_has_seen() {
        let seconds = Duration::from_secs;
        let mut renewals = Renewals::default();
        assert_eq!(renewals.still_for(seconds(100), &Version::File(1)), seconds(0));
        assert_eq!(renewals.still_for(seconds(114), &Version::File(1)), seconds(14));
        assert_eq!(renewals.still_for(seconds(115), &Version::File(2)), seconds(0));
        assert_eq!(renewals.still_for(seconds(130), &Version::File(2)), seconds(15));
    }
}
