//! Directory of those who there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::UserName;
use russh::keys::PublicKey;
use tokio_util::sync::CancellationToken;

use crate::AuthorizedKeys;

/// Where accounts, keys and groups come from.
#[derive(Clone, Debug)]
pub enum Directory {
    AuthorizedKeys(Arc<AuthorizedKeys>),
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: UserName,
    pub groups: BTreeSet<String>,
}

impl Directory {
    /// The account, if this key opens it now.
    pub fn find(&self, user: &str, key: &PublicKey) -> Option<Account> {
        match self {
            Directory::AuthorizedKeys(keys) => keys.find(user, key),
        }
    }

    /// Keeps up with changes until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        match self {
            Directory::AuthorizedKeys(keys) => keys.watch(stop).await,
        }
    }
}
