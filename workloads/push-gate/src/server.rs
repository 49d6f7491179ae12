//! The Unix socket on which the hg children of this instance ask before they open, and record before they close.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use follower::{Changing, Close, Closing, ClosingPush, LaneTable, Unsynced};
use log::AppendError;
use log::blobs::Blobs;
use protocol::{BookmarkMove, CreationId, MAX_INLINE_BYTES, Payload, Push, UserName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::ledger::{Ledger, LedgerError};
use crate::messages::{ALONE, Answer, Append, NOT_AVAILABLE, OUTCOME_UNKNOWN, PushedBytes, Request};
use crate::metrics::GateMetrics;
use crate::proof::{self, Claim};
use crate::sessions::Sessions;
use crate::values;

/// How long a push waits for its repository's lane before it is refused.
const LANE_WAIT: Duration = Duration::from_secs(30);
const MAX_CONNECTIONS: usize = 1_000;
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

pub struct Gate {
    pub ledger: Arc<Ledger>,
    pub lanes: Arc<LaneTable>,
    pub closing: Closing,
    pub unsynced: Unsynced,
    pub sessions: Sessions,
    pub blobs: Blobs,
    /// Where children put bundles that are too large for a frame.
    pub incoming: PathBuf,
    pub metrics: GateMetrics,
}

/// Removes what an earlier process left at `path` and listens there; only this user may connect.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers children until the task is dropped.
pub async fn serve(listener: UnixListener, gate: Arc<Gate>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the push gate could not accept a connection");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let gate = gate.clone();
        tokio::spawn(async move {
            let pid = stream.peer_cred().ok().and_then(|peer| u32::try_from(peer.pid()?).ok());
            if let Err(error) = (Session { gate, stream, pid, changing: None, closing: None }).run().await {
                tracing::info!(%error, "a hg child left the push gate abruptly");
            }
            drop(permit);
        });
    }
}

struct Session {
    gate: Arc<Gate>,
    stream: UnixStream,
    /// Process id of the child, by the kernel's word.
    pid: Option<u32>,
    /// From the first transaction on until the child has ended: it does not tell when it rolls one back.
    changing: Option<Changing>,
    /// The push that is recorded and not yet closed. Dropped with the connection, it counts as lost.
    closing: Option<ClosingPush>,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        while let Some(request) = self.read_request().await? {
            let answer = self.answer(request).await?;
            self.gate.metrics.count(&answer);
            let bytes = serde_json::to_vec(&answer)?;
            let length = u32::try_from(bytes.len()).map_err(|_| invalid("an answer of over 4 GiB"))?;
            self.stream.write_all(&length.to_be_bytes()).await?;
            self.stream.write_all(&bytes).await?;
        }
        Ok(())
    }

    async fn read_request(&mut self) -> io::Result<Option<Request>> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(invalid("a frame of over 16 MiB"));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await?;
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    async fn answer(&mut self, request: Request) -> io::Result<Answer> {
        match request {
            Request::Open { repository, user, may_write } => Ok(self.open(repository, &user, may_write).await),
            Request::Wait { repository } => Ok(self.wait(repository).await),
            Request::Append(append) => self.append(*append).await,
            Request::Closed { offset, failed } => {
                if let Some(push) = self.closing.take_if(|push| push.offset() == offset) {
                    push.settle(if failed { Close::Lost } else { Close::Done });
                }
                Ok(Answer::OK)
            }
        }
    }

    async fn open(&mut self, id: CreationId, user: &UserName, may_write: bool) -> Answer {
        let repository = match self.gate.ledger.repository(id).await {
            Ok(repository) => repository,
            Err(error) => return Answer::refused(&error),
        };
        // What the session began with may hold no more.
        if !may_write || !self.gate.sessions.may_write(self.pid, &repository.settings) {
            return Answer::refuse(format!("{user} has no write access to {}", repository.path));
        }
        if let Err(error) = self.gate.ledger.pushable(id).await {
            return Answer::refused(&error);
        }
        if self.gate.ledger.writable().await.is_err() {
            return Answer::refuse(NOT_AVAILABLE);
        }
        match self.gate.unsynced.changing(id).await {
            Ok(changing) => {
                self.changing = Some(changing);
                Answer::Ok { largest_push_bytes: self.gate.ledger.registry().await.settings().largest_push_bytes }
            }
            Err(error) => {
                tracing::error!(%error, repository = %id, "it cannot be noted that the repository changes");
                Answer::Refuse(vec![NOT_AVAILABLE.into(), error.to_string()])
            }
        }
    }

    /// Answers when every appended record of the repository is applied here.
    async fn wait(&self, id: CreationId) -> Answer {
        let last = match self.gate.ledger.last(id).await {
            Ok(last) => last,
            Err(error) => return Answer::refused(&error),
        };
        let deadline = Instant::now() + LANE_WAIT;
        let ready = self.gate.lanes.wait(id, deadline, |lane| lane.applied >= last && lane.recovering == 0).await;
        if ready {
            Answer::OK
        } else {
            Answer::refuse("the repository is still being brought up to the replication log; try again in a minute")
        }
    }

    async fn append(&mut self, append: Append) -> io::Result<Answer> {
        let started = Instant::now();
        let mut body = vec![0; bounded(append.body, 2 * MAX_INLINE_BYTES)?];
        self.stream.read_exact(&mut body).await?;
        // Hooks may have taken their time since `open`.
        if let Ok(repository) = self.gate.ledger.repository(append.repository).await
            && !self.gate.sessions.may_write(self.pid, &repository.settings)
        {
            return Ok(Answer::refuse(format!("{} has no write access to {}", append.user, repository.path)));
        }
        if let Some(why) = values::unfit(&append.push) {
            return Ok(Answer::refuse(why));
        }
        let stored = match self.payloads(&append, &body).await {
            Ok((bundle, markers)) => self.prove(&append, bundle.as_ref()).await.map(|()| (bundle, markers)),
            Err(error) => Err(error),
        };
        let (bundle, markers) = match stored {
            Ok(payloads) => payloads,
            Err(error) => {
                tracing::error!(%error, repository = %append.repository, "a push's bundle could not be stored");
                return Ok(Answer::refuse(format!("the push could not be stored on the server: {error}")));
            }
        };
        let (repository, applied) = (append.repository, append.applied);
        let has_changesets = append.push.changesets > 0;
        let make = |push_id, time| record(append, push_id, time, bundle, markers);
        let appended = self.gate.ledger.append_push(repository, applied, has_changesets, make).await;
        let (offset, push) = match appended {
            Ok(appended) => appended,
            Err(LedgerError::Append(error @ AppendError::Unknown(_))) => {
                tracing::error!(%error, %repository, "a push may or may not be in the log");
                return Ok(Answer::Unknown(vec![OUTCOME_UNKNOWN.into()]));
            }
            Err(error @ LedgerError::Append(_)) => {
                tracing::error!(%error, %repository, "a push could not be recorded");
                return Ok(Answer::Refuse(vec![NOT_AVAILABLE.into(), error.to_string()]));
            }
            Err(error) => return Ok(Answer::refused(&error)),
        };
        self.closing = Some(self.gate.closing.begin(repository, offset));
        if self.gate.ledger.committed(offset).await.is_err() {
            self.closing = None;
            tracing::warn!(%offset, %repository, "a push was appended but not committed in time");
            return Ok(Answer::Unknown(vec![OUTCOME_UNKNOWN.into()]));
        }
        let seconds = started.elapsed().as_secs_f64();
        let (user, changesets) = (&push.user, push.changesets);
        tracing::info!(%offset, %repository, %user, changesets, seconds, "push recorded");
        let warning = self.gate.ledger.is_alone().then_some(ALONE);
        Ok(Answer::Recorded { offset, push_id: push.push_id, time: push.time.seconds(), seconds, warning })
    }

    /// Nothing is appended that nobody could apply.
    async fn prove(&self, append: &Append, bundle: Option<&Payload>) -> io::Result<()> {
        let Append { push, .. } = append;
        let claim = Claim { changesets: push.changesets, tip: push.tip, nodes: push.nodes };
        let path = match bundle {
            None => return proof::prove(claim, None::<&[u8]>),
            Some(Payload::Inline(bytes)) => return proof::prove(claim, Some(bytes.as_slice())),
            Some(Payload::Blob { digest, .. }) => self.gate.blobs.path(*digest),
        };
        let read = move || proof::prove(claim, Some(io::BufReader::new(std::fs::File::open(path)?)));
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    async fn payloads(&self, append: &Append, body: &[u8]) -> io::Result<(Option<Payload>, Option<Payload>)> {
        let mut rest = body;
        let bundle = self.payload(append.push.bundle.as_ref(), &mut rest).await?;
        let markers = self.payload(append.push.markers.as_ref(), &mut rest).await?;
        Ok((bundle, markers))
    }

    async fn payload(&self, bytes: Option<&PushedBytes>, rest: &mut &[u8]) -> io::Result<Option<Payload>> {
        Ok(match bytes {
            None => None,
            Some(PushedBytes::Inline { inline }) => {
                let (mine, others) = rest.split_at_checked(*inline).ok_or_else(|| invalid("fewer bytes than said"))?;
                *rest = others;
                Some(Payload::Inline(mine.to_vec()))
            }
            Some(PushedBytes::File { file, digest, size }) => {
                if file.parent() != Some(self.gate.incoming.as_path()) {
                    return Err(invalid("a bundle outside the incoming folder"));
                }
                let (blobs, file, digest, size) = (self.gate.blobs.clone(), file.clone(), *digest, *size);
                let adopted = tokio::task::spawn_blocking(move || blobs.adopt(&file, digest, size)).await;
                adopted.map_err(io::Error::other)?.map_err(io::Error::other)?;
                Some(Payload::Blob { digest, size })
            }
        })
    }
}

fn record(
    append: Append,
    push_id: Option<protocol::PushId>,
    time: protocol::Timestamp,
    bundle: Option<Payload>,
    markers: Option<Payload>,
) -> Push {
    let parts = append.push;
    Push {
        repository: append.repository,
        push_id,
        user: append.user,
        time,
        bundle,
        changesets: parts.changesets,
        tip: parts.tip,
        heads_added: parts.heads_added,
        heads_removed: parts.heads_removed,
        heads: parts.heads,
        bookmarks: parts.bookmarks.into_iter().map(|(name, old, new)| BookmarkMove { name, old, new }).collect(),
        published: parts.published,
        markers,
        nodes: parts.nodes,
    }
}

fn bounded(length: usize, most: usize) -> io::Result<usize> {
    if length <= most { Ok(length) } else { Err(invalid("more inline bytes than a record may hold")) }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
