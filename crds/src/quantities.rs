//! Amounts as Kubernetes users write them: `20Gi`, `72h`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes: a whole number with one of the suffixes k, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti (of 1024), or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    text: String,
    pub bytes: u64,
}

/// A time span: whole numbers with h, m, s in that order, such as `72h` or `1h30m`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    text: String,
    pub seconds: u64,
}

impl Quantity {
    pub(crate) fn gibibytes(number: u64) -> Quantity {
        Quantity { text: format!("{number}Gi"), bytes: number << 30 }
    }
}

impl Span {
    pub(crate) fn hours(number: u64) -> Span {
        Span { text: format!("{number}h"), seconds: number * 3600 }
    }

    pub(crate) fn seconds(number: u64) -> Span {
        Span { text: format!("{number}s"), seconds: number }
    }

    pub(crate) fn minutes(number: u64) -> Span {
        Span { text: format!("{number}m"), seconds: number * 60 }
    }
}

const SUFFIXES: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

impl TryFrom<String> for Quantity {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = SUFFIXES.iter().find_map(|(suffix, factor)| {
            let digits = text.strip_suffix(suffix)?;
            let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            whole.then(|| digits.parse::<u64>().ok()?.checked_mul(*factor)).flatten()
        });
        match bytes {
            Some(bytes) => Ok(Quantity { text, bytes }),
            None => {
                Err(format!("'{text}' is not an amount of bytes: a whole number such as 500Mi or 20Gi is allowed"))
            }
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match seconds(&text) {
            Some(seconds) => Ok(Span { text, seconds }),
            None => Err(format!("'{text}' is not a time span: h, m and s are allowed, such as 72h or 1h30m")),
        }
    }
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((digits, after)) = rest.split_once(unit) {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(factor)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

macro_rules! text {
    ($name:ident) => {
        impl From<$name> for String {
            fn from(amount: $name) -> String {
                amount.text
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                text.to_owned().try_into()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.text)
            }
        }
    };
}

text!(Quantity);
text!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_bytes() {
        for (text, bytes) in [("0", 0), ("12", 12), ("3k", 3000), ("500Mi", 500 << 20), ("20Gi", 20 << 30)] {
            assert_eq!(text.parse::<Quantity>().unwrap().bytes, bytes);
        }
        for bad in ["", "Gi", "1.5Gi", "-1", "20 Gi", "20GB", "99999999999Ti", "1e3"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn time_spans() {
        for (text, seconds) in [("72h", 259_200), ("1h30m", 5400), ("15m", 900), ("30s", 30), ("1h1s", 3601)] {
            assert_eq!(text.parse::<Span>().unwrap().seconds, seconds);
        }
        for bad in ["", "72", "h", "1d", "30m1h", "1.5h", "-1h", "1h 2m"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
