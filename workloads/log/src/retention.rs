//! How much of the log is kept.

use std::time::Duration;

use protocol::{Offset, Timestamp};

/// Retention of what nobody active needs: it is kept until one of the limits is passed, for instances and readers that
/// come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub age: Duration,
    pub bytes: u64,
}

/// One segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub first: Offset,
    /// The record behind its last one.
    pub next: Offset,
    pub bytes: u64,
    /// When its last record was written.
    pub modified: Timestamp,
}

/// The offset below which segments may go; None: nothing may. Never beyond `keep_from`, the first record that an
/// active instance still needs, whatever the limits say; and never the last segment.
pub fn decide(now: Timestamp, segments: &[Stored], keep_from: Offset, limits: Retention) -> Option<Offset> {
    let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let age = u64::try_from(limits.age.as_micros()).unwrap_or(u64::MAX);
    let oldest_kept = Timestamp(now.0.saturating_sub(age));
    let mut below = None;
    for segment in segments.split_last().map_or(&[][..], |(_, closed)| closed) {
        let passed = segment.modified < oldest_kept || bytes > limits.bytes;
        if !passed || segment.next > keep_from {
            break;
        }
        bytes -= segment.bytes;
        below = Some(segment.next);
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten segments of ten records and 100 bytes, written at seconds 1 to 10.
    fn segments() -> Vec<Stored> {
        let segment = |n: u64| Stored {
            first: Offset(n * 10 + 1),
            next: Offset(n * 10 + 11),
            bytes: 100,
            modified: Timestamp((n + 1) * 1_000_000),
        };
        (0..10).map(segment).collect()
    }

    fn below(now: u64, keep_from: u64, age: u64, bytes: u64) -> Option<u64> {
        let limits = Retention { age: Duration::from_secs(age), bytes };
        decide(Timestamp(now * 1_000_000), &segments(), Offset(keep_from), limits).map(|offset| offset.0)
    }

    #[test]
    fn limits_and_needs() {
        let cases = [
            ("everything within the limits", (10, 1000, 100, 10_000), None),
            ("too old", (10, 1000, 5, 10_000), Some(41)),
            ("too large", (10, 1000, 100, 350), Some(71)),
            ("needed although too large", (10, 35, 100, 350), Some(31)),
            ("needed although too old", (1000, 11, 5, 10_000), Some(11)),
            ("needed within the first segment", (1000, 10, 5, 0), None),
            ("never the last segment", (1000, 1000, 0, 0), Some(91)),
            ("a clock that went back", (0, 1000, 5, 10_000), None),
        ];
        for (name, (now, keep_from, age, bytes), expected) in cases {
            assert_eq!(below(now, keep_from, age, bytes), expected, "{name}");
        }
        assert_eq!(decide(Timestamp(0), &[], Offset(9), Retention { age: Duration::ZERO, bytes: 0 }), None);
    }
}
