//! Numbers with bounds, as functions for `deserialize_with`; each says what is allowed.

use serde::de::{Deserialize, Deserializer, Error};

macro_rules! bounded {
    ($($name:ident: $type:ty, $low:expr, $high:expr;)*) => {$(
        pub(crate) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
            let value = <$type>::deserialize(from)?;
            if ($low..=$high).contains(&value) {
                return Ok(value);
            }
            Err(D::Error::custom(format!("{value} is out of range: {} to {} is allowed", $low, $high)))
        }
    )*};
}

bounded! {
    lanes: u32, 1, 64;
    workers: u32, 1, 64;
    cached: u32, 1, 10_000;
    min_active: u32, 0, 100;
    records: u64, 1, 1_000_000;
    seconds: u64, 1, 86_400;
    segment_bytes: u64, 64 * 1024, 1024 * 1024 * 1024;
    retention_seconds: u64, 60, 366 * 86_400;
    retention_bytes: u64, 1024 * 1024, 1_u64 << 50;
}
