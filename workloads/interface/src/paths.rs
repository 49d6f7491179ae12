//! Paths of the internal API. Those in braces are patterns, as the servers' routers have them.

use protocol::RepositoryPath;

/// Own word of an SSH instance.
pub const INSTANCE: &str = "/v1/instance";
pub const SEAL: &str = "/v1/seal";
/// Says that the register has changed.
pub const LOOK: &str = "/v1/look";
/// Tells what an SSH instance holds, while nobody is master.
pub const HELD: &str = "/v1/held";
/// The replication stream.
pub const FOLLOW: &str = "/v1/follow";
/// Answered by a master only, as those that follow.
pub const DRAIN: &str = "/v1/drain";
pub const SNAPSHOT: &str = "/v1/snapshot";
pub const SETTLED: &str = "/v1/settled";
pub const PEERS: &str = "/v1/peers";
pub const ENDPOINTS: &str = "/v1/endpoints";
pub const SETTINGS: &str = "/v1/settings";
pub const REGISTRY: &str = "/v1/registry";
pub const STATUS: &str = "/status.json";
/// Answered by a supervisor.
pub const PROMOTE: &str = "/v1/promote";
pub const FENCE: &str = "/v1/fence";

pub const BLOB_PATTERN: &str = "/v1/blobs/{digest}";
pub const REPOSITORY_PATTERN: &str = "/v1/registry/{*path}";
pub const ARCHIVE_PATTERN: &str = "/v1/repositories/{id}/archive";
pub const HASH_PATTERN: &str = "/v1/repositories/{id}/hash";

/// A repository in the registry.
pub fn repository(path: &RepositoryPath) -> String {
    format!("{REGISTRY}/{path}")
}

pub fn strip(path: &RepositoryPath) -> String {
    format!("{REGISTRY}/{path}/strip")
}

pub fn skip(path: &RepositoryPath) -> String {
    format!("{REGISTRY}/{path}/skip")
}

pub fn import(path: &RepositoryPath) -> String {
    format!("{REGISTRY}/{path}/import")
}
