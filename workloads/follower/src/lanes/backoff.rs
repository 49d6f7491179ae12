//! How long a lane waits after a failure: exponential, spread by repository and attempt instead of by chance, so that
//! the same inputs give the same actions.

use std::time::Duration;

use protocol::CreationId;

/// Between half and all of `first * 2^(attempt - 1)`, at most `max`.
pub(super) fn delay(id: CreationId, attempt: u32, first: Duration, max: Duration) -> Duration {
    let whole = first.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(max);
    let half = whole / 2;
    let spread = mix(id.0 ^ (u64::from(attempt) << 48)) % 1024;
    half + half * u32::try_from(spread).unwrap_or(0) / 1024
}

/// SplitMix64's finalizer: neighbouring inputs give unrelated outputs.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_within_bounds_and_differs_between_repositories() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(30));
        for attempt in 1..60 {
            let whole = first.saturating_mul(1 << (attempt - 1).min(20)).min(max);
            let waited = delay(CreationId(7), attempt, first, max);
            assert!(waited >= whole / 2 && waited <= whole, "{attempt}: {waited:?}");
        }
        assert_ne!(delay(CreationId(7), 3, first, max), delay(CreationId(8), 3, first, max));
    }
}
