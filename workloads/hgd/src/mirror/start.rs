//! Where a mirror begins: at its checkpoint, or as a newcomer at a snapshot of the master's.

use std::io;
use std::path::Path;
use std::time::Duration;

use follower::checkpoint::{self, CheckpointError};
use follower::lanes::{Checkpoint, Origin};
use transport::{Client, Target};

const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the snapshot to start from cannot be stored: {0}")]
    Store(io::Error),
}

/// Makes sure that there is a checkpoint, asking until a master gives a snapshot.
pub async fn prepare(data: &Path, client: &Client, masters: &[Target]) -> Result<(), StartError> {
    if checkpoint::load(data)?.is_some() {
        return Ok(());
    }
    loop {
        for master in masters {
            match client.get_json::<Checkpoint>(master, "/v1/snapshot").await {
                Ok(snapshot) => {
                    tracing::info!(%master, at = %snapshot.replication, "starting from the master's snapshot");
                    return checkpoint::store(data, snapshot, Origin::Snapshot).map_err(StartError::Store);
                }
                Err(error) => tracing::debug!(%master, %error, "no snapshot"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// After the log's start was missed: the next start is a newcomer's. Its repositories stay and spare what still fits.
pub fn forget(data: &Path) -> io::Result<()> {
    checkpoint::remove(data)
}
