//! Bodies of requests and answers that no other crate has.

use protocol::{ChangesetId, InstanceName, Offset, UserName};
use serde::{Deserialize, Serialize};

/// Recorded: where a change of the registry stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub offset: Offset,
}

/// Changesets to remove from a repository, everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripRequest {
    pub changesets: Vec<ChangesetId>,
    pub user: UserName,
}

/// A record that nobody can apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipRequest {
    pub offset: Offset,
    pub user: UserName,
    /// False: only what would be lost is said.
    pub lose: bool,
}

/// Where a repository is filled from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportSource {
    /// Repository on a Mercurial server.
    Url(String),
    /// File that `hg bundle` has made.
    BundleUrl(String),
}

/// How an import does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportState {
    pub state: ImportStage,
    #[serde(default)]
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportStage {
    Running,
    Done,
    Failed,
}

/// Another instance that may have what a mirror lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAddress {
    pub name: InstanceName,
    /// Address of its internal API: `host:port`.
    pub address: String,
    /// Where readers reach it, if it is a mirror.
    pub url: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    #[track_caller]
    fn is<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T, text: &str) {
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
        assert_eq!(serde_json::from_str::<T>(text).unwrap(), value);
    }

    /// Instances of two versions speak with each other during an upgrade.
    #[test]
    fn what_is_sent_is_as_it_ever_was() {
        let user: UserName = "ann".parse().unwrap();
        let node = "1".repeat(40);
        is(Recorded { offset: Offset(7) }, r#"{"offset":7}"#);
        let changesets = vec![node.parse().unwrap()];
        is(StripRequest { changesets, user: user.clone() }, &format!(r#"{{"changesets":["{node}"],"user":"ann"}}"#));
        is(SkipRequest { offset: Offset(3), user, lose: true }, r#"{"offset":3,"user":"ann","lose":true}"#);
        is(ImportSource::Url("https://a/b".into()), r#"{"url":"https://a/b"}"#);
        is(ImportSource::BundleUrl("https://a/b".into()), r#"{"bundleUrl":"https://a/b"}"#);
        let state = ImportState { state: ImportStage::Failed, message: "no".into() };
        is(state, r#"{"state":"Failed","message":"no"}"#);
        let peer = PeerAddress { name: "mirror-0".parse().unwrap(), address: "a:1".into(), url: None };
        is(peer, r#"{"name":"mirror-0","address":"a:1","url":null}"#);
    }
}
