//! What this crate needs from the one who runs Mercurial.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use protocol::{RepositoryPath, UserName};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::texts;

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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    pub user: UserName,
    pub groups: BTreeSet<String>,
    pub path: RepositoryPath,
    pub client: SocketAddr,
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
