//! Where a mirror begins: at its checkpoint, or as a newcomer at a snapshot of the master's.

use std::io;
use std::path::Path;
use std::time::Duration;

use follower::checkpoint::{self, CheckpointError};
use follower::lanes::{Checkpoint, Origin};
use interface::{Ask, ask, paths};
use transport::{Client, Target};

const PAUSE: Duration = Duration::from_millis(200);
/// For one instance: a registry of many repositories takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);

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
        if let Ok(snapshot) = ask::<Checkpoint>(client, masters, Ask::Get(paths::SNAPSHOT), PATIENCE).await {
            tracing::info!(at = %snapshot.replication, "starting from the master's snapshot");
            return checkpoint::store(data, snapshot, Origin::Snapshot).map_err(StartError::Store);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// After the log's start was missed: the next start is a newcomer's. Its repositories stay and spare what still fits.
pub fn forget(data: &Path) -> io::Result<()> {
    checkpoint::remove(data)
}
