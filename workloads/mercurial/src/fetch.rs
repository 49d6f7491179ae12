//! A child that fills one empty repository from a Mercurial server or a bundle.

use std::path::{Path, PathBuf};

use protocol::{CreationId, UserName};
use serde::{Deserialize, Serialize};

use crate::connection::{ConnectError, Connection};
use crate::zygote::Mercurial;

#[derive(Clone, Debug)]
pub struct FetchRequest {
    pub directory: PathBuf,
    pub repository: CreationId,
    /// User whose push it is.
    pub user: UserName,
    /// `http://` or `https://`
    pub source: String,
    /// The source is a file with a bundle, not a server.
    pub bundle: bool,
}

#[derive(Serialize)]
struct First<'a> {
    mode: &'static str,
    directory: &'a Path,
    repository: CreationId,
    user: &'a UserName,
    source: &'a str,
    bundle: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// So many changesets are in the repository and in the log.
    Done(u64),
    /// One sentence; nothing has changed.
    Failed(String),
    /// Killed or crashed: the repository needs `Recover`, and the log may have the push.
    Abnormal,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Fetched(u64),
    Failed(String),
}

/// Killed when dropped before its end.
pub struct FetchChild {
    connection: Connection,
    ended: bool,
}

impl Mercurial {
    pub async fn fetch(&self, request: &FetchRequest) -> Result<FetchChild, ConnectError> {
        let first = First {
            mode: "fetch",
            directory: &request.directory,
            repository: request.repository,
            user: &request.user,
            source: &request.source,
            bundle: request.bundle,
        };
        let connection = self.connect(&first, None).await?;
        Ok(FetchChild { connection, ended: false })
    }
}

impl FetchChild {
    pub async fn ended(&mut self) -> Fetched {
        let answer = self.connection.receive().await.and_then(|frame| frame.parse::<Answer>());
        self.ended = true;
        match answer {
            Ok(Answer::Fetched(changesets)) => Fetched::Done(changesets),
            Ok(Answer::Failed(why)) => Fetched::Failed(why),
            Err(_) => Fetched::Abnormal,
        }
    }
}

impl Drop for FetchChild {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.child().kill();
        }
    }
}
