//! Bounds that a type alone does not say, as functions for `deserialize_with`; each says what is allowed. What the API
//! server is told of them is in `schema`.

use protocol::{RepositoryPath, UserName};
use serde::de::{Deserialize, Deserializer, Error};

use crate::{Quantity, Span};

pub(crate) const MAX_DESCRIPTION_CHARACTERS: usize = 1000;
pub(crate) const MAX_NAME_CHARACTERS: usize = 253;
pub(crate) const MAX_URL_CHARACTERS: usize = 2048;
pub(crate) const MAX_IMAGE_CHARACTERS: usize = 512;
pub(crate) const MAX_GROUP_CHARACTERS: usize = 128;
/// Groups that one repository names for one purpose.
pub(crate) const MAX_GROUPS_OF_ONE: usize = 64;

/// Sentences for whoever wrote something else, here and by the API server.
pub(crate) mod says {
    pub(crate) const OBJECT_NAME: &str = "a-z, 0-9, '-' and '.' are allowed, 1 to 253 characters";
    pub(crate) const PUBLIC_URL: &str = "http:// or https:// with a host and without '/' at its end is allowed";
    pub(crate) const SOURCE_URL: &str = "http:// or https:// with a host is allowed";
    pub(crate) const HOST: &str = "a host name or address is allowed";
    pub(crate) const IMAGE: &str = "an image reference is allowed, such as registry.example.org/hg-operator:1.0";
    pub(crate) const DESCRIPTION: &str = "one printable line of at most 1000 characters is allowed";
    pub(crate) const REASON: &str = "one printable line of 1 to 1000 characters is allowed";
    pub(crate) const REPOSITORY_PATH: &str = "letters, digits, '.', '_' and '-' are allowed in each part between '/', \
                                              with a letter or digit first and not .hg or .git last";
    pub(crate) const PATH_STAYS: &str = "the path of a repository never changes: make another HgRepository";
    pub(crate) const SPAN: &str = "h, m and s are allowed, such as 72h or 1h30m";
    pub(crate) const RETENTION_AGE: &str = "h, m and s are allowed, 1m to 8784h, such as 72h or 1h30m";
    pub(crate) const SIZE: &str = "a whole number such as 500Mi or 20Gi is allowed, 1Mi to 1024Ti";
    pub(crate) const LEASE_SPAN: &str = "h, m and s are allowed, 1s to 24h, such as 15s";
    pub(crate) const VOLUME_SIZE: &str = "a whole number above 0 such as 500Mi or 20Gi is allowed";
    pub(crate) const VOLUME_GROWS: &str = "a volume never shrinks: the old size or more is allowed";
    pub(crate) const GROUP_NAME: &str = "one printable line of 1 to 128 characters is allowed";
    pub(crate) const MEMBER: &str = "a user name or \"*\" is allowed";
    pub(crate) const MASTER_STAYS: &str = "the SshMaster never changes: make another resource";
    pub(crate) const STORAGE_CLASS_STAYS: &str = "the storage class of existing volumes never changes";
    pub(crate) const STORAGE_MODE_STAYS: &str = "storage.mode never changes: make another SshMaster";
    pub(crate) const STRICT_NEEDS_STANDBYS: &str =
        "log.durability: Strict is for storage.mode: PerInstance, where standbys have disks of their own";
    pub(crate) const STRICT_NEEDS_TWO: &str =
        "log.durability: Strict is for instances: 2 or 3, for one instance has no standby that could acknowledge";
    pub(crate) const POOLS_HAVE_VOLUMES: &str = "storage.mode: each mirror has its own volume: PerInstance is allowed";
    pub(crate) const LEASE: &str =
        "lease: retryPeriod and a second more must be less than renewDeadline, and that less than duration";
    pub(crate) const RETENTION_FITS: &str =
        "log.retention.size must be less than storage.size: the log is on that volume";
    pub(crate) const WORKLOAD_NAME: &str =
        "metadata.name: a letter first, then a-z, 0-9 and '-' are allowed, 1 to 40 characters";
    pub(crate) const NODE_PORT: &str = "nodePort is for type: NodePort or LoadBalancer";
    pub(crate) const MIN_ACTIVE: &str = "minActive is more than replicas: 0 to replicas is allowed";
    pub(crate) const ONE_SOURCE: &str = "exactly one of url and bundleUrl is allowed";
}

fn number<'de, D: Deserializer<'de>>(from: D, low: u64, high: u64) -> Result<u64, D::Error> {
    let value = u64::deserialize(from)?;
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(D::Error::custom(format!("{value} is out of range: {low} to {high} is allowed")))
}

/// A bounded number of a smaller type; the bounds must fit it. `range` has its schema.
macro_rules! bounded {
    ($($name:ident: $type:ty, $low:literal, $high:literal;)*) => {
        $(
            pub(crate) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                let value = number(from, $low, $high)?;
                <$type>::try_from(value).map_err(D::Error::custom)
            }
        )*

        pub(crate) mod range {
            $(
                pub(crate) fn $name(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    crate::schema::integer($low, $high)
                }
            )*
        }
    };
}

bounded! {
    instances: u32, 1, 3;
    mirrors: u32, 0, 100;
    min_active: u32, 0, 100;
    workers: u32, 1, 64;
    port: u16, 1, 65535;
    lag_records: u64, 1, 1_000_000;
    lag_seconds: u64, 1, 86_400;
    detection_seconds: u32, 1, 3_600;
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
    Err(D::Error::custom(format!("'{text}' is not a name: {}", says::OBJECT_NAME)))
}

pub(crate) fn some_object_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    object_name(from).map(Some)
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_NAME_CHARACTERS
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
    Err(D::Error::custom(format!("'{text}' is not a web address: {}", says::PUBLIC_URL)))
}

pub(crate) fn source_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let printable = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) && printable {
        return Ok(Some(text));
    }
    Err(D::Error::custom(format!("'{text}' is not a web address: {}", says::SOURCE_URL)))
}

pub(crate) fn image<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && text.len() <= MAX_IMAGE_CHARACTERS && text.chars().all(allowed) {
        return Ok(Some(text));
    }
    Err(D::Error::custom(format!("'{text}' is not an image: {}", says::IMAGE)))
}

pub(crate) fn volume_size<'de, D: Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
    let size = Quantity::deserialize(from)?;
    if size.bytes > 0 {
        return Ok(size);
    }
    Err(D::Error::custom(format!("'{size}' is not the size of a volume: {}", says::VOLUME_SIZE)))
}

pub(crate) fn retention_age<'de, D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    span(from, 60, 366 * 86_400, says::RETENTION_AGE)
}

pub(crate) fn lease_span<'de, D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    span(from, 1, 86_400, says::LEASE_SPAN)
}

fn span<'de, D: Deserializer<'de>>(from: D, low: u64, high: u64, says: &str) -> Result<Span, D::Error> {
    let span = Span::deserialize(from)?;
    if (low..=high).contains(&span.seconds) {
        return Ok(span);
    }
    Err(D::Error::custom(format!("'{span}' is out of range: {says}")))
}

pub(crate) fn retention_size<'de, D: Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
    size(from)
}

pub(crate) fn largest_push<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Quantity>, D::Error> {
    size(from).map(Some)
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
    let size = Quantity::deserialize(from)?;
    if (1 << 20..=1 << 50).contains(&size.bytes) {
        return Ok(size);
    }
    Err(D::Error::custom(format!("'{size}' is out of range: {}", says::SIZE)))
}

pub(crate) fn host<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if !text.is_empty() && text.len() <= MAX_NAME_CHARACTERS && text.chars().all(allowed) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("'{text}' is not a host: {}", says::HOST)))
}

pub(crate) fn description<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.chars().count() <= MAX_DESCRIPTION_CHARACTERS && !text.contains(char::is_control) {
        return Ok(text);
    }
    Err(D::Error::custom(says::DESCRIPTION))
}

pub(crate) fn reason<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if is_line(&text, MAX_DESCRIPTION_CHARACTERS) {
        return Ok(text);
    }
    Err(D::Error::custom(says::REASON))
}

pub(crate) fn group_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if is_line(&text, MAX_GROUP_CHARACTERS) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("'{text}' is not the name of a group: {}", says::GROUP_NAME)))
}

pub(crate) fn group_names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    match names.iter().find(|name| !is_line(name, MAX_GROUP_CHARACTERS)) {
        None => Ok(names),
        Some(bad) => Err(D::Error::custom(format!("'{bad}' is not the name of a group: {}", says::GROUP_NAME))),
    }
}

fn is_line(text: &str, max_characters: usize) -> bool {
    !text.is_empty() && text.chars().count() <= max_characters && !text.contains(char::is_control)
}

/// The error of the reference is two lines; a file's error is one sentence.
pub(crate) fn repository_path<'de, D: Deserializer<'de>>(from: D) -> Result<RepositoryPath, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| D::Error::custom(format!("'{text}' is not a repository name: {}", says::REPOSITORY_PATH)))
}

/// Reads the members of a group: user names, or `*` for everybody who can log in.
pub(crate) fn members<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let members = Vec::<String>::deserialize(from)?;
    match members.iter().find(|member| *member != "*" && member.parse::<UserName>().is_err()) {
        None => Ok(members),
        Some(bad) => Err(D::Error::custom(format!("'{bad}' is not a member: {}", says::MEMBER))),
    }
}
