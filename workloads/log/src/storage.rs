//! The segment files of one log: what the writer's thread does to them. Everything here blocks.

mod recovery;

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Instant, SystemTime};

use protocol::{Entry, Generation, LogName, Offset};

use crate::index::{Index, Segment};
use crate::refusal::WriteFailure;
use crate::scan::Scanner;
use crate::segment::{Header, encode_frame, file_name};

/// A buffer that one large record has made larger than this is given back.
const KEPT_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// New segment, which does not exist yet.
const NEW_EXTENSION: &str = "segment.new";

pub(crate) type SharedIndex = Arc<RwLock<Index>>;

pub(crate) struct Storage {
    directory: PathBuf,
    /// For fsync of its entries; also holds the lock on the directory.
    folder: File,
    name: LogName,
    segment_bytes: u64,
    index: SharedIndex,
    /// The last segment.
    file: File,
    /// A copy of the index's last segment: only this thread changes it.
    last: Segment,
    buffer: Vec<u8>,
    statistics: Arc<Statistics>,
}

/// Statistics of what the disk was asked for since the log was opened, for metrics.
#[derive(Debug, Default)]
pub struct Statistics {
    pub writes: AtomicU64,
    pub syncs: AtomicU64,
    /// Spent waiting for the disk.
    pub sync_microseconds: AtomicU64,
}

/// How a write ended badly.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The files are as before.
    Refused(WriteFailure),
    /// Fatal: what the files hold is not known.
    Fatal(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(why: io::Error) -> Trouble {
        Trouble::Fatal(why)
    }
}

fn refused(why: io::Error) -> Trouble {
    let text = why.to_string().into();
    Trouble::Refused(match why.kind() {
        io::ErrorKind::StorageFull => WriteFailure::Full(text),
        _ => WriteFailure::Storage(text),
    })
}

impl Storage {
    pub fn index(&self) -> SharedIndex {
        self.index.clone()
    }

    pub fn statistics(&self) -> Arc<Statistics> {
        self.statistics.clone()
    }

    /// All or nothing, behind the last record; not yet synced (except where a new segment begins).
    pub fn write(&mut self, entries: &[Entry], durable: Offset) -> Result<(), Trouble> {
        let Some(first) = entries.first() else { return Ok(()) };
        let result = self.write_groups(entries, durable);
        if let Err(Trouble::Refused(_)) = &result {
            // Also what went into earlier segments, so that nothing of the batch is in the log.
            self.truncate(first.offset)?;
        }
        result
    }

    fn write_groups(&mut self, entries: &[Entry], durable: Offset) -> Result<(), Trouble> {
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let full = self.last.length >= self.segment_bytes && !self.last.is_empty();
            if first.generation != self.last.generation || full {
                self.begin_segment(first)?;
            }
            let mut bytes = std::mem::take(&mut self.buffer);
            bytes.clear();
            let mut taken = 0;
            for entry in rest {
                let length = self.last.length + bytes.len() as u64;
                if entry.generation != first.generation || (taken > 0 && length >= self.segment_bytes) {
                    break;
                }
                encode_frame(&mut bytes, entry.generation, entry.offset, durable, &entry.bytes);
                taken += 1;
            }
            self.file.write_all_at(&bytes, self.last.length).map_err(refused)?;
            self.statistics.writes.fetch_add(1, Ordering::Relaxed);
            bytes.shrink_to(KEPT_BUFFER_BYTES);
            self.buffer = bytes;
            let (group, later) = rest.split_at(taken);
            group.iter().for_each(|entry| self.last.grow(entry.bytes.len()));
            self.last.modified = SystemTime::now();
            self.publish_last();
            rest = later;
        }
        Ok(())
    }

    pub fn sync(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.file.sync_data()?;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.statistics.syncs.fetch_add(1, Ordering::Relaxed);
        self.statistics.sync_microseconds.fetch_add(micros, Ordering::Relaxed);
        Ok(())
    }

    fn begin_segment(&mut self, entry: &Entry) -> Result<(), Trouble> {
        self.file.sync_data()?;
        let header = Header {
            log: self.name,
            starts_anew: false,
            generation: entry.generation,
            first: entry.offset,
            generation_before: if self.last.is_empty() { self.last.before } else { self.last.generation },
        };
        (self.file, self.last) = create(&self.directory, &self.folder, &header)?;
        let mut index = write(&self.index);
        if index.segments.last().is_some_and(|last| last.first == header.first) {
            // It was empty and has been replaced.
            index.segments.pop();
        }
        index.segments.push(self.last.clone());
        Ok(())
    }

    /// Durably drops `from`, which is not below the start, and everything behind it.
    pub fn truncate(&mut self, from: Offset) -> io::Result<()> {
        self.remove_from(from)?;
        let length = self.position_of(from)?;
        self.file.set_len(length)?;
        self.file.sync_all()?;
        self.last.cut(from.min(self.last.next), length);
        self.publish_last();
        Ok(())
    }

    /// Removes segments that begin at `from` or later, the last one first so that what is left has no gap; the only
    /// one stays, because it says where the log starts.
    fn remove_from(&mut self, from: Offset) -> io::Result<()> {
        loop {
            let mut index = write(&self.index);
            let [.., before, last] = &index.segments[..] else { return Ok(()) };
            if last.first < from {
                return Ok(());
            }
            let (path, before) = (last.path(&self.directory), before.clone());
            index.segments.pop();
            drop(index);
            std::fs::remove_file(path)?;
            self.folder.sync_all()?;
            self.file = open_to_write(&before.path(&self.directory))?;
            self.last = before;
        }
    }

    /// Where the frame of `offset` begins in the last segment, or its end.
    fn position_of(&self, offset: Offset) -> io::Result<u64> {
        if offset >= self.last.next {
            return Ok(self.last.length);
        }
        let (known, position) = self.last.mark(offset);
        let bytes = BufReader::new(ReadFrom { file: &self.file, position }.take(self.last.length - position));
        let mut scanner = Scanner::resume(bytes, position, known, self.last.generation);
        while scanner.expected() < offset {
            match scanner.next() {
                Some(Ok(_)) => {}
                Some(Err(damage)) => return Err(io::Error::other(damage)),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(scanner.position())
    }

    /// Durably drops everything; the next record is `start`.
    pub fn reset(&mut self, start: Offset, before: Generation) -> Result<(), Trouble> {
        self.remove_from(start)?;
        let header =
            Header { log: self.name, starts_anew: true, generation: before, first: start, generation_before: before };
        // From this file's appearance on the older ones are leftovers, also after a crash.
        (self.file, self.last) = create(&self.directory, &self.folder, &header)?;
        let old = std::mem::replace(&mut write(&self.index).segments, vec![self.last.clone()]);
        for segment in old.iter().filter(|old| old.first != start) {
            std::fs::remove_file(segment.path(&self.directory))?;
        }
        self.folder.sync_all()?;
        Ok(())
    }

    /// Removes whole segments of which every record is below; answers the first record left.
    pub fn trim(&mut self, below: Offset) -> io::Result<Offset> {
        loop {
            let mut index = write(&self.index);
            let [first, _, ..] = &index.segments[..] else { return Ok(index.start()) };
            if first.next > below {
                return Ok(index.start());
            }
            let path = first.path(&self.directory);
            index.segments.remove(0);
            drop(index);
            std::fs::remove_file(path)?;
            // One by one, so that a crash cannot leave a gap.
            self.folder.sync_all()?;
        }
    }

    fn publish_last(&self) {
        if let Some(last) = write(&self.index).segments.last_mut() {
            *last = self.last.clone();
        }
    }
}

/// A file appears under its name only when its header is on disk, so headers are never torn.
fn create(directory: &Path, folder: &File, header: &Header) -> Result<(File, Segment), Trouble> {
    let path = directory.join(file_name(header.first));
    let new = path.with_extension(NEW_EXTENSION);
    let file = write_header(&new, header).map_err(|why| {
        let _ = std::fs::remove_file(&new);
        refused(why)
    })?;
    std::fs::rename(&new, &path)?;
    folder.sync_all()?;
    Ok((file, Segment::empty(header, SystemTime::now())))
}

fn write_header(path: &Path, header: &Header) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync_all()?;
    Ok(file)
}

fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// A poisoned lock only means that a reader died: the writer never leaves the index half changed.
pub(crate) fn read(index: &SharedIndex) -> RwLockReadGuard<'_, Index> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(index: &SharedIndex) -> RwLockWriteGuard<'_, Index> {
    index.write().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a file from a position without moving the file's own, which others share.
pub(crate) struct ReadFrom<'a> {
    pub file: &'a File,
    pub position: u64,
}

impl Read for ReadFrom<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(to, self.position)?;
        self.position += got as u64;
        Ok(got)
    }
}
