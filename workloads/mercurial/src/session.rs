//! One SSH session: a child that speaks Mercurial's wire protocol over three descriptors of its own.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use protocol::{CreationId, RepositoryPath, UserName};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::connection::{ConnectError, Connection};
use crate::zygote::Mercurial;

#[derive(Clone, Debug)]
pub struct ServeRequest {
    pub directory: PathBuf,
    pub repository: CreationId,
    pub path: RepositoryPath,
    pub user: UserName,
    pub may_write: bool,
    /// Added to the child's environment.
    pub environment: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct First<'a> {
    mode: &'static str,
    directory: &'a Path,
    repository: CreationId,
    path: &'a RepositoryPath,
    user: &'a UserName,
    may_write: bool,
    env: &'a BTreeMap<String, String>,
}

/// The parts are separate so that the three streams can be copied while the end is awaited.
pub struct Session {
    /// Shut it down (or drop it) to say that nothing more comes.
    pub stdin: UnixStream,
    pub stdout: UnixStream,
    pub stderr: UnixStream,
    pub child: ServeChild,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    /// Killed or crashed: the repository's lane recovers it before anything else.
    Abnormal,
}

/// Killed when dropped before its end.
pub struct ServeChild {
    connection: Connection,
    ended: Option<Ended>,
}

#[derive(Deserialize)]
struct Exit {
    exit: i32,
}

impl Mercurial {
    pub async fn serve(&self, request: &ServeRequest) -> Result<Session, ConnectError> {
        let (stdin, their_stdin) = pair()?;
        let (stdout, their_stdout) = pair()?;
        let (stderr, their_stderr) = pair()?;
        let first = First {
            mode: "serve",
            directory: &request.directory,
            repository: request.repository,
            path: &request.path,
            user: &request.user,
            may_write: request.may_write,
            env: &request.environment,
        };
        let theirs = [their_stdin.as_fd(), their_stdout.as_fd(), their_stderr.as_fd()];
        let connection = self.connect(&first, Some(theirs)).await?;
        Ok(Session { stdin, stdout, stderr, child: ServeChild { connection, ended: None } })
    }
}

/// Ours does not block, theirs does.
fn pair() -> io::Result<(UnixStream, StdStream)> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}

impl ServeChild {
    pub fn pid(&self) -> u32 {
        self.connection.child().pid()
    }

    pub fn kill(&self) {
        self.connection.child().kill();
    }

    /// Waits for its end; may be dropped and called again, and answers the same each time afterwards.
    pub async fn ended(&mut self) -> Ended {
        if let Some(ended) = self.ended {
            return ended;
        }
        let exit = self.connection.receive().await.and_then(|frame| frame.parse::<Exit>());
        let ended = exit.map_or(Ended::Abnormal, |exit| Ended::Exit(exit.exit));
        *self.ended.insert(ended)
    }
}

impl Drop for ServeChild {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.kill();
        }
    }
}
