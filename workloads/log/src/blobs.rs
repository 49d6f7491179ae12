//! Bundles and marker sets too large for a record, named by the SHA-256 of their bytes. A blob is on disk under its
//! name completely or not at all. Everything here blocks; no blob is ever held in memory.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use protocol::Digest;
use sha2::{Digest as _, Sha256};

const INCOMING: &str = "incoming";
const STORED: &str = "sha256";

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("{path} cannot be used: {why}")]
    Io { path: PathBuf, why: io::Error },
    #[error("{path} is not a file directly below the folder of incoming blobs, {incoming}")]
    NotIncoming { path: PathBuf, incoming: PathBuf },
    #[error("blob {digest} was to have {expected} bytes and has {found}")]
    Size { digest: Digest, expected: u64, found: u64 },
    #[error("what was received as blob {expected} has digest {found}")]
    Digest { expected: Digest, found: Digest },
}

impl BlobError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> BlobError {
        let path = path.to_owned();
        |why| BlobError::Io { path, why }
    }
}

#[derive(Clone, Debug)]
pub struct Blobs {
    directory: PathBuf,
    received: Arc<AtomicU64>,
}

impl Blobs {
    /// Opens or creates, and removes what an earlier process left half-written.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Blobs, BlobError> {
        let blobs = Blobs { directory: directory.into(), received: Arc::default() };
        let (incoming, stored) = (blobs.incoming(), blobs.directory.join(STORED));
        for folder in [&incoming, &stored] {
            std::fs::create_dir_all(folder).map_err(BlobError::io(folder))?;
        }
        sync_folder(&blobs.directory)?;
        if let Some(above) = blobs.directory.parent() {
            sync_folder(above)?;
        }
        for entry in std::fs::read_dir(&incoming).map_err(BlobError::io(&incoming))? {
            let path = entry.map_err(BlobError::io(&incoming))?.path();
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(BlobError::io(&path))?;
        }
        Ok(blobs)
    }

    /// Only looks at what is there, beside the process that uses it.
    pub fn look(directory: impl Into<PathBuf>) -> Blobs {
        Blobs { directory: directory.into(), received: Arc::default() }
    }

    /// Where files are written that are to be adopted.
    pub fn incoming(&self) -> PathBuf {
        self.directory.join(INCOMING)
    }

    pub fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.directory.join(STORED).join(&name[..2]).join(&name)
    }

    /// None when there is no such blob.
    pub fn open_blob(&self, digest: Digest) -> Result<Option<File>, BlobError> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            Err(why) => Err(BlobError::Io { path, why }),
        }
    }

    pub fn contains(&self, digest: Digest, size: u64) -> bool {
        std::fs::metadata(self.path(digest)).is_ok_and(|data| data.is_file() && data.len() == size)
    }

    /// Makes a file from `incoming/` the blob of that digest, durably; the one who wrote it has computed the digest.
    /// Again after success it does nothing, whether the file is still there or not.
    pub fn adopt(&self, incoming: &Path, digest: Digest, size: u64) -> Result<(), BlobError> {
        let folder = self.incoming();
        if incoming.parent() != Some(&folder) || incoming.file_name().is_none() {
            return Err(BlobError::NotIncoming { path: incoming.to_owned(), incoming: folder });
        }
        let target = self.path(digest);
        let file = match File::open(incoming) {
            Err(why) if why.kind() == ErrorKind::NotFound && self.contains(digest, size) => {
                File::open(&target).map_err(BlobError::io(&target))?
            }
            other => other.map_err(BlobError::io(incoming))?,
        };
        let found = file.metadata().map_err(BlobError::io(incoming))?.len();
        if found != size {
            return Err(BlobError::Size { digest, expected: size, found });
        }
        file.sync_all().map_err(BlobError::io(incoming))?;
        let shard = self.shard(digest)?;
        match std::fs::rename(incoming, &target) {
            Err(why) if why.kind() == ErrorKind::NotFound && self.contains(digest, size) => {}
            other => other.map_err(BlobError::io(&target))?,
        }
        sync_folder(&shard)
    }

    /// Takes a blob that comes in pieces from elsewhere.
    pub fn receive(&self, digest: Digest, size: u64) -> Result<Receiving, BlobError> {
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        let path = self.incoming().join(format!("receiving-{}-{number}", std::process::id()));
        let file = File::create_new(&path).map_err(BlobError::io(&path))?;
        Ok(Receiving { blobs: self.clone(), path, file, hash: Sha256::new(), received: 0, digest, size, kept: false })
    }

    /// Removes blobs that no record names any more and that were written before `older_than`: a blob is stored before
    /// its record is, so a new one may be about to be named. Answers how many bytes became free.
    pub fn sweep(&self, live: &HashSet<Digest>, older_than: SystemTime) -> Result<u64, BlobError> {
        let mut freed = 0;
        for (path, digest) in self.stored()? {
            if digest.is_some_and(|digest| live.contains(&digest)) {
                continue;
            }
            let data = std::fs::metadata(&path).map_err(BlobError::io(&path))?;
            if data.modified().is_ok_and(|modified| modified < older_than) {
                std::fs::remove_file(&path).map_err(BlobError::io(&path))?;
                freed += data.len();
            }
        }
        Ok(freed)
    }

    /// Every file that is stored, with its digest when its name is one.
    fn stored(&self) -> Result<Vec<(PathBuf, Option<Digest>)>, BlobError> {
        let mut files = Vec::new();
        let top = self.directory.join(STORED);
        for shard in std::fs::read_dir(&top).map_err(BlobError::io(&top))? {
            let shard = shard.map_err(BlobError::io(&top))?.path();
            for file in std::fs::read_dir(&shard).map_err(BlobError::io(&shard))? {
                let file = file.map_err(BlobError::io(&shard))?;
                let digest = file.file_name().to_str().and_then(|name| name.parse().ok());
                files.push((file.path(), digest));
            }
        }
        Ok(files)
    }

    fn shard(&self, digest: Digest) -> Result<PathBuf, BlobError> {
        let top = self.directory.join(STORED);
        let shard = top.join(&digest.to_string()[..2]);
        match std::fs::create_dir(&shard) {
            // Whoever made it may not have synced it yet.
            Ok(()) => sync_folder(&top)?,
            Err(why) if why.kind() == ErrorKind::AlreadyExists => sync_folder(&top)?,
            Err(why) => return Err(BlobError::Io { path: shard, why }),
        }
        Ok(shard)
    }
}

/// A blob on its way in. Dropped before [`Receiving::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Receiving {
    blobs: Blobs,
    path: PathBuf,
    file: File,
    hash: Sha256,
    received: u64,
    digest: Digest,
    size: u64,
    kept: bool,
}

impl Receiving {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let found = self.received + bytes.len() as u64;
        if found > self.size {
            return Err(BlobError::Size { digest: self.digest, expected: self.size, found });
        }
        self.file.write_all(bytes).map_err(BlobError::io(&self.path))?;
        self.hash.update(bytes);
        self.received = found;
        Ok(())
    }

    /// Checks size and digest, then stores the blob durably.
    pub fn finish(mut self) -> Result<(), BlobError> {
        if self.received != self.size {
            return Err(BlobError::Size { digest: self.digest, expected: self.size, found: self.received });
        }
        let found = Digest(self.hash.finalize_reset().into());
        if found != self.digest {
            return Err(BlobError::Digest { expected: self.digest, found });
        }
        self.blobs.adopt(&self.path, self.digest, self.size)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.kept {
            // What stays behind is removed when the store is opened next.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Reads a file through to tell the digest of its bytes, and how many there are.
pub fn digest_of(mut file: impl io::Read) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let size = io::copy(&mut file, &mut hash)?;
    Ok((Digest(hash.finalize().into()), size))
}

fn sync_folder(path: &Path) -> Result<(), BlobError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(BlobError::io(path))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn store() -> (tempfile::TempDir, Blobs) {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(home.path().join("blobs")).unwrap();
        (home, blobs)
    }

    fn digest(bytes: &[u8]) -> Digest {
        digest_of(bytes).unwrap().0
    }

    fn files_in(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn adopting_is_idempotent_and_checks_place_and_size() {
        let (home, blobs) = store();
        let name = digest(b"bundle");
        let file = blobs.incoming().join("one");
        std::fs::write(&file, b"bundle").unwrap();
        assert!(matches!(blobs.adopt(&file, name, 7), Err(BlobError::Size { found: 6, .. })));
        blobs.adopt(&file, name, 6).unwrap();
        blobs.adopt(&file, name, 6).unwrap();
        std::fs::write(&file, b"bundle").unwrap();
        blobs.adopt(&file, name, 6).unwrap();
        assert_eq!(files_in(&blobs.incoming()), 0);
        assert_eq!(std::fs::read(blobs.path(name)).unwrap(), b"bundle");
        assert!(blobs.open_blob(name).unwrap().is_some() && blobs.open_blob(digest(b"other")).unwrap().is_none());
        let outside = home.path().join("outside");
        std::fs::write(&outside, b"bundle").unwrap();
        let sly = blobs.incoming().join("../../outside");
        for path in [&outside, &sly, &blobs.incoming().join("..")] {
            assert!(matches!(blobs.adopt(path, name, 6), Err(BlobError::NotIncoming { .. })), "{path:?}");
        }
        assert!(blobs.adopt(&file, digest(b"never seen"), 6).is_err());
    }

    #[test]
    fn a_received_blob_is_what_its_digest_says_or_nothing() {
        let (_home, blobs) = store();
        let bytes = vec![7; 100_000];
        let name = digest(&bytes);
        let feed = |wanted, size, bytes: &[u8]| {
            let mut receiving = blobs.receive(wanted, size)?;
            bytes.chunks(999).try_for_each(|piece| receiving.write(piece))?;
            receiving.finish()
        };
        assert!(matches!(feed(digest(b"x"), 100_000, &bytes), Err(BlobError::Digest { .. })));
        assert!(matches!(feed(name, 99_999, &bytes), Err(BlobError::Size { .. })));
        assert!(matches!(feed(name, 100_001, &bytes), Err(BlobError::Size { .. })));
        assert!(!blobs.contains(name, 100_000));
        feed(name, 100_000, &bytes).unwrap();
        feed(name, 100_000, &bytes).unwrap();
        assert!(blobs.contains(name, 100_000));
        assert_eq!(files_in(&blobs.incoming()), 0);
    }

    #[test]
    fn opening_removes_leftovers_and_sweeping_what_is_dead_and_old() {
        let (home, blobs) = store();
        for bytes in [&b"live"[..], b"dead"] {
            let mut receiving = blobs.receive(digest(bytes), 4).unwrap();
            receiving.write(bytes).unwrap();
            receiving.finish().unwrap();
        }
        std::fs::write(blobs.incoming().join("half"), b"ha").unwrap();
        let blobs = Blobs::open(home.path().join("blobs")).unwrap();
        assert_eq!(files_in(&blobs.incoming()), 0);
        let live = HashSet::from([digest(b"live")]);
        let (past, future) = (SystemTime::UNIX_EPOCH, SystemTime::now() + Duration::from_secs(60));
        assert_eq!(blobs.sweep(&live, past).unwrap(), 0);
        assert_eq!(blobs.sweep(&live, future).unwrap(), 4);
        assert!(blobs.contains(digest(b"live"), 4) && !blobs.contains(digest(b"dead"), 4));
    }
}
