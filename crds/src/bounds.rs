//! Bounds that a type alone does not say, as functions for `deserialize_with`; each says what is allowed.

use protocol::{RepositoryPath, UserName};
use serde::de::{Deserialize, Deserializer, Error};

pub(crate) const MAX_DESCRIPTION_CHARACTERS: usize = 1000;

fn number<'de, D: Deserializer<'de>>(from: D, low: u64, high: u64) -> Result<u64, D::Error> {
    let value = u64::deserialize(from)?;
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(D::Error::custom(format!("{value} is out of range: {low} to {high} is allowed")))
}

/// A bounded number of a smaller type; the bounds must fit it.
macro_rules! bounded {
    ($($name:ident: $type:ty, $low:literal, $high:literal;)*) => {$(
        pub(crate) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
            let value = number(from, $low, $high)?;
            <$type>::try_from(value).map_err(D::Error::custom)
        }
    )*};
}

bounded! {
    instances: u32, 1, 3;
    mirrors: u32, 0, 100;
    min_active: u32, 0, 100;
    workers: u32, 1, 64;
    port: u16, 1, 65535;
    lag_records: u64, 1, 1_000_000;
    lag_seconds: u64, 1, 86_400;
}

pub(crate) fn node_port<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    port(from).map(Some)
}

/// A name that Kubernetes accepts for an object (RFC 1123 subdomain).
pub(crate) fn object_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if is_subdomain(&text) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("'{text}' is not a name: a-z, 0-9, '-' and '.' are allowed, 1 to 253 characters")))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let bytes = label.as_bytes();
            bytes.first().is_some_and(edge)
                && bytes.last().is_some_and(edge)
                && bytes.iter().all(|b| edge(b) || *b == b'-')
        })
}

pub(crate) fn public_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let printable = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) && !text.ends_with('/') && printable {
        return Ok(text);
    }
    Err(D::Error::custom(format!(
        "'{text}' is not a web address: http:// or https:// with a host and without '/' at its end is allowed"
    )))
}

pub(crate) fn host<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if !text.is_empty() && text.len() <= 253 && text.chars().all(allowed) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("'{text}' is not a host: a host name or address is allowed")))
}

pub(crate) fn description<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.chars().count() <= MAX_DESCRIPTION_CHARACTERS && !text.contains(char::is_control) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("one printable line of at most {MAX_DESCRIPTION_CHARACTERS} characters is allowed")))
}

/// The error of the reference is two lines; a file's error is one sentence.
pub(crate) fn repository_path<'de, D: Deserializer<'de>>(from: D) -> Result<RepositoryPath, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "'{text}' is not a repository name: letters, digits, '.', '_' and '-' are allowed in each part between \
             '/', \
             with a letter or digit first and not .hg or .git last"
        ))
    })
}

/// Who belongs to a group: user names, or `*` for everybody who can log in.
pub(crate) fn members<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let members = Vec::<String>::deserialize(from)?;
    match members.iter().find(|member| *member != "*" && member.parse::<UserName>().is_err()) {
        None => Ok(members),
        Some(bad) => Err(D::Error::custom(format!("'{bad}' is not a member: a user name or \"*\" is allowed"))),
    }
}
