//! Checkpoint: what of this instance survives a power loss. hg never calls fsync, so an applied record is durable only
//! after the whole file system was synced; the checkpoint says up to where that is so, and replay starts there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use protocol::CreationId;
use register::durable;
use serde::{Deserialize, Serialize};

use crate::lanes::{Checkpoint, Origin};

const VERSION: u32 = 1;
const FILE: &str = "checkpoint.json";
const REPOSITORIES: &str = "repositories";
/// `statfs(2)`. Most kernels do not pass `syncfs` on to a FUSE server, and answer that all is well.
const FUSE_SUPER_MAGIC: rustix::fs::FsWord = 0x6573_5546;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    /// From a peer's snapshot: nothing of it is in the repositories here yet.
    newcomer: bool,
    checkpoint: Checkpoint,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{file} cannot be read: {source}")]
    Io { file: String, source: io::Error },
    #[error("{file} is damaged ({source}); remove this instance's data directory and it is made again from a peer")]
    Damaged { file: String, source: serde_json::Error },
    #[error("{file} has format version {found}, this program knows {VERSION}: use the newer program")]
    Newer { file: String, found: u32 },
}

/// None in a new data directory.
pub fn load(directory: &Path) -> Result<Option<(Checkpoint, Origin)>, CheckpointError> {
    let path = directory.join(FILE);
    let file = path.display().to_string();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CheckpointError::Io { file, source }),
    };
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |source| CheckpointError::Damaged { file: file.clone(), source };
    let found = serde_json::from_slice::<Version>(&text).map_err(damaged)?.version;
    if found != VERSION {
        return Err(CheckpointError::Newer { file, found });
    }
    let stored: Stored = serde_json::from_slice(&text).map_err(damaged)?;
    let origin = if stored.newcomer { Origin::Snapshot } else { Origin::Checkpoint };
    Ok(Some((stored.checkpoint, origin)))
}

/// Makes what was changed in these repositories durable. Blocks: syncing a file system takes its time.
pub fn sync(directory: &Path, changed: &BTreeSet<CreationId>) -> io::Result<()> {
    let folder = File::open(directory.join(REPOSITORIES))?;
    rustix::fs::syncfs(&folder)?;
    if rustix::fs::fstatfs(&folder)?.f_type == FUSE_SUPER_MAGIC {
        for id in changed {
            durable::sync_tree(&directory.join(REPOSITORIES).join(id.directory()))?;
        }
        folder.sync_all()?;
    }
    Ok(())
}

/// Says so, when everything that it promises was synced.
pub fn store(directory: &Path, checkpoint: Checkpoint, origin: Origin) -> io::Result<()> {
    let folder = File::open(directory)?;
    let temporary = directory.join("checkpoint.json.new");
    let mut file = File::create(&temporary)?;
    let newcomer = origin == Origin::Snapshot;
    file.write_all(&serde_json::to_vec(&Stored { version: VERSION, newcomer, checkpoint })?)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(FILE))?;
    folder.sync_all()
}

/// The next start is a newcomer's.
pub fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Offset;

    #[test]
    fn on_fuse_repositories_are_synced_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let volume = power_loss::Volume::mount(data).unwrap_or_else(|error| panic!("{error}"));
        let file = |id: u64| data.join(REPOSITORIES).join(CreationId(id).directory()).join("store/00changelog.i");
        for id in [1, 2] {
            fs::create_dir_all(file(id).parent().unwrap()).unwrap();
            fs::write(file(id), "changesets").unwrap();
        }
        File::open(data).unwrap().sync_all().unwrap();
        sync(data, &BTreeSet::from([CreationId(1)])).unwrap();
        volume.power_off();
        volume.power_on(power_loss::Survivors::None);
        assert_eq!(fs::read(file(1)).unwrap(), b"changesets");
        assert!(!file(2).exists());
    }

    #[test]
    fn what_was_stored_is_loaded_and_a_newer_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path()).unwrap(), None);
        let checkpoint = Checkpoint { replication: Offset(7), publication: Offset(3), ..Checkpoint::default() };
        for origin in [Origin::Snapshot, Origin::Checkpoint] {
            store(directory.path(), checkpoint.clone(), origin).unwrap();
            assert_eq!(load(directory.path()).unwrap(), Some((checkpoint.clone(), origin)));
        }
        fs::write(directory.path().join(FILE), br#"{"version":9}"#).unwrap();
        let error = load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("format version 9"), "{error}");
        fs::write(directory.path().join(FILE), b"{").unwrap();
        assert!(load(directory.path()).unwrap_err().to_string().contains("is damaged"));
    }
}
