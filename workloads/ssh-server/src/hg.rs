//! Hg: what this crate needs from the one who runs Mercurial.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use protocol::{RepositoryPath, UserName};
use russh::keys::PublicKey;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Account, Directory, texts};

/// A running `hg serve --stdio`, or what speaks like one. When the client is gone, `stdin` and `stdout` are closed
/// and `stderr` is read to its end, so that a push that is in the log already can close in peace; nobody kills it
/// here.
pub struct Hg {
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    pub ended: BoxFuture<'static, Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exit(i32),
    /// Killed, or its connection broke.
    Abnormal,
    /// By us: the person may not read the repository any more.
    Revoked,
}

#[derive(Clone, Debug)]
pub struct OpenRequest {
    pub user: UserName,
    pub groups: BTreeSet<String>,
    pub path: RepositoryPath,
    pub client: SocketAddr,
    /// Where the client has connected to.
    pub server: SocketAddr,
    pub identity: Identity,
}

impl OpenRequest {
    /// Makes what sshd gives a command (ssh(1), ENVIRONMENT): hooks read it, and Mercurial makes `HG_URL` of it.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let (client, server) = (self.client, self.server);
        let [from, to] = [client.ip().to_canonical(), server.ip().to_canonical()];
        let (from_port, to_port) = (client.port(), server.port());
        BTreeMap::from([
            ("SSH_CLIENT".to_owned(), format!("{from} {from_port} {to_port}")),
            ("SSH_CONNECTION".to_owned(), format!("{from} {from_port} {to} {to_port}")),
        ])
    }
}

/// Identity at the other end, by the directory as it is whenever it is asked.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) directory: Directory,
    pub(crate) user: UserName,
    pub(crate) key: PublicKey,
}

impl Identity {
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// None: the key opens the account no more.
    pub fn account(&self) -> Option<Account> {
        self.directory.find(self.user.as_str(), &self.key)
    }
}

/// Shown to the client; its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRefused {
    pub lines: Vec<String>,
    pub exit: u32,
}

impl OpenRefused {
    pub fn new(line: impl Into<String>) -> OpenRefused {
        OpenRefused { lines: vec![line.into()], exit: 1 }
    }

    /// The reference's text (facts/hgmo.md, A13); also for a repository that this user may not read.
    pub fn does_not_exist(path: &RepositoryPath) -> OpenRefused {
        OpenRefused::new(texts::does_not_exist(path))
    }
}

/// Finds the repository, applies [`crate::access::decide`], and starts Mercurial.
pub type Open = Arc<dyn Fn(OpenRequest) -> BoxFuture<'static, Result<Hg, OpenRefused>> + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthorizedKeys, Groups};

    #[test]
    fn addresses_are_written_as_sshd_writes_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKPwN3Pz7wNfcLgEC6mZhbI7GeQ5lL8fQhpY4GZEqGgY";
        let directory = Directory::AuthorizedKeys(
            AuthorizedKeys::open(file.path(), &file.path().with_extension("kept"), Groups::default()).unwrap(),
        );
        let user: UserName = "ann".parse().unwrap();
        let identity = Identity { directory, user: user.clone(), key: PublicKey::from_openssh(key).unwrap() };
        for (client, server, short, long) in [
            ("192.0.2.1:5", "192.0.2.9:22", "192.0.2.1 5 22", "192.0.2.1 5 192.0.2.9 22"),
            ("[::ffff:192.0.2.1]:5", "[::ffff:192.0.2.9]:22", "192.0.2.1 5 22", "192.0.2.1 5 192.0.2.9 22"),
            ("[2001:db8::1]:5", "[2001:db8::9]:22", "2001:db8::1 5 22", "2001:db8::1 5 2001:db8::9 22"),
        ] {
            let request = OpenRequest {
                user: user.clone(),
                groups: BTreeSet::new(),
                path: "a".parse().unwrap(),
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
                identity: identity.clone(),
            };
            let made = request.environment();
            assert_eq!((made["SSH_CLIENT"].as_str(), made["SSH_CONNECTION"].as_str()), (short, long));
        }
    }
}
