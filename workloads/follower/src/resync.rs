//! A repository taken whole from a peer: a newcomer's first copy, and the cure of a damaged one.

use std::io;
use std::path::{Path, PathBuf};

use protocol::CreationId;
use tokio::fs;
use tokio::io::AsyncWriteExt;
use transport::{Client, ClientError, Target};

#[derive(Debug, thiserror::Error)]
pub enum ResyncError {
    #[error("no peer is known that could have repository {0}")]
    NoPeer(CreationId),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the copy of repository {repository} cannot be stored: {source}")]
    Store { repository: CreationId, source: io::Error },
}

impl ResyncError {
    /// No space on the volume.
    pub fn is_full(&self) -> bool {
        match self {
            ResyncError::Store { source, .. } | ResyncError::Client(ClientError::Store { source, .. }) => {
                source.kind() == io::ErrorKind::StorageFull
            }
            ResyncError::NoPeer(_) | ResyncError::Client(_) => false,
        }
    }
}

/// Replaces `repositories/<id>` by the copy of the first of `peers` that has it. The old folder, if any, is renamed
/// away first and removed last, so that a crash leaves either no repository or a whole one.
pub async fn fetch(
    client: &Client,
    peers: &[Target],
    repositories: &Path,
    scratch: &Path,
    id: CreationId,
) -> Result<(), ResyncError> {
    let mut last = ResyncError::NoPeer(id);
    for peer in peers {
        match fetch_from(client, peer, repositories, scratch, id).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::info!(%peer, repository = %id, %error, "a peer cannot give the repository");
                last = error;
            }
        }
    }
    Err(last)
}

async fn fetch_from(
    client: &Client,
    peer: &Target,
    repositories: &Path,
    scratch: &Path,
    id: CreationId,
) -> Result<(), ResyncError> {
    let store = |source| ResyncError::Store { repository: id, source };
    let archive = scratch.join(format!("resync-{}.tar", id.directory()));
    let fresh = scratch.join(format!("resync-{}", id.directory()));
    let mut file = fs::File::create(&archive).await.map_err(store)?;
    client.download(peer, &format!("/v1/repositories/{id}/archive"), 0, &mut file).await?;
    file.flush().await.map_err(store)?;
    let target = repositories.join(id.directory());
    let put = tokio::task::spawn_blocking(move || put_in_place(&archive, &fresh, &target)).await;
    put.map_err(|error| store(io::Error::other(error)))?.map_err(store)
}

fn put_in_place(archive: &Path, fresh: &Path, target: &Path) -> io::Result<()> {
    remove(fresh)?;
    std::fs::create_dir_all(fresh)?;
    tar::Archive::new(std::fs::File::open(archive)?).unpack(fresh)?;
    std::fs::remove_file(archive)?;
    let old = aside(fresh);
    remove(&old)?;
    match std::fs::rename(target, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(fresh, target)?;
    remove(&old)
}

fn aside(fresh: &Path) -> PathBuf {
    let mut name = fresh.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

/// Removes a folder with all that is in it; one that is not there is fine.
pub fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
