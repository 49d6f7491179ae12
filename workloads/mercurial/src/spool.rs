//! Spool of what a worker has answered and the client has not taken yet: first in memory, then in a file without a
//! name.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::room::Place;

/// Memory of one answer; most are smaller and never see a disk.
const MEMORY_BYTES: usize = 512 * 1024;
/// The volume holds the repositories too: so much of it stays free.
const RESERVE_BYTES: u64 = 1024 * 1024 * 1024;
const LOOK_EVERY_BYTES: u64 = 16 * 1024 * 1024;

enum Piece {
    Memory(Bytes),
    Disk { at: u64, length: usize },
}

pub(crate) struct Spool {
    pieces: VecDeque<Piece>,
    in_memory: usize,
    on_disk: usize,
    folder: PathBuf,
    file: Option<Arc<File>>,
    /// Where the next piece goes.
    end: u64,
    place: Place,
    /// No more fits: the worker has to wait for the client.
    is_full: bool,
}

impl Spool {
    pub(crate) fn new(folder: &Path, place: Place) -> Spool {
        let (pieces, folder) = (VecDeque::new(), folder.to_owned());
        Spool { pieces, in_memory: 0, on_disk: 0, folder, file: None, end: 0, place, is_full: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(crate) fn given_up(&self) -> CancellationToken {
        self.place.given_up()
    }

    pub(crate) async fn push(&mut self, bytes: Bytes) {
        if self.in_memory + bytes.len() > MEMORY_BYTES {
            match self.write(bytes.clone()).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "an answer cannot be kept on the disk"),
            }
            self.is_full = true;
        }
        self.in_memory += bytes.len();
        self.pieces.push_back(Piece::Memory(bytes));
    }

    /// The next piece; none when it is empty.
    pub(crate) async fn pop(&mut self) -> io::Result<Option<Bytes>> {
        let bytes = match self.pieces.pop_front() {
            None => return Ok(None),
            Some(Piece::Memory(bytes)) => {
                self.in_memory -= bytes.len();
                bytes
            }
            Some(Piece::Disk { at, length }) => {
                self.on_disk -= 1;
                self.read(at, length).await?
            }
        };
        if self.on_disk == 0 && self.end > 0 {
            // The file goes, and its room with it.
            (self.file, self.end) = (None, 0);
            self.place.empty();
        }
        self.is_full &= self.in_memory >= MEMORY_BYTES;
        Ok(Some(bytes))
    }

    /// False: there is no room.
    async fn write(&mut self, bytes: Bytes) -> io::Result<bool> {
        let length = bytes.len() as u64;
        let looks = self.end % LOOK_EVERY_BYTES < length;
        if (looks && !has_reserve(&self.folder)?) || !self.place.grow(length) {
            return Ok(false);
        }
        let file = match &self.file {
            Some(file) => file.clone(),
            None => Arc::new(nameless(&self.folder)?),
        };
        self.file = Some(file.clone());
        let at = self.end;
        let kept = Piece::Disk { at, length: bytes.len() };
        spawn_blocking(move || file.write_all_at(&bytes, at)).await.map_err(io::Error::other)??;
        self.end += length;
        self.on_disk += 1;
        self.pieces.push_back(kept);
        Ok(true)
    }

    async fn read(&self, at: u64, length: usize) -> io::Result<Bytes> {
        let file = self.file.clone().ok_or_else(|| io::Error::other("there is no file"))?;
        let read = move || {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, at).map(|()| Bytes::from(bytes))
        };
        spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

fn has_reserve(folder: &Path) -> io::Result<bool> {
    let volume = rustix::fs::statvfs(folder)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize) > RESERVE_BYTES)
}

/// Nobody else can open it, and it goes with whoever has it open.
fn nameless(folder: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = folder.join(format!("answer-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{Room, RoomBounds};

    const PIECE: usize = 256 * 1024;

    fn piece(number: u8) -> Bytes {
        vec![number; PIECE].into()
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_in_order_from_memory_and_disk() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = RoomBounds { client_bytes: 4 * PIECE as u64, all_bytes: 1 << 30 };
        let mut spool = Spool::new(folder.path(), Room::new("answers", bounds).enter("a"));
        let (mut put, mut got) = (0, 0);
        // Two in memory, four on the disk, one too much.
        for _ in 0..7 {
            assert!(!spool.is_full());
            spool.push(piece(put)).await;
            put += 1;
        }
        assert!(spool.is_full());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        for round in 0..3 {
            while !spool.is_empty() && (round == 2 || got < put - 1) {
                assert_eq!(spool.pop().await.unwrap().unwrap(), piece(got));
                got += 1;
            }
            assert!(!spool.is_full());
            for _ in 0..if round == 2 { 0 } else { 4 } {
                spool.push(piece(put)).await;
                put += 1;
            }
        }
        assert_eq!((got, spool.pop().await.unwrap()), (put, None));
    }
}
