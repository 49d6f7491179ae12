//! Following a log: from memory at its head, from the segment files behind it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use protocol::{Entry, Generation, Offset};
use tokio::sync::watch;

use crate::core::View;
use crate::scan::Scanner;
use crate::storage::{ReadFrom, SharedIndex, read};
use crate::tail::Tail;

/// A subscription holds at most this much, or a single record.
const CHUNK_BYTES: usize = 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Records as soon as they are in the file here, synced or not, with what is committed beside them: for standbys.
    Stored,
    /// Only what is committed.
    Committed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Entry(Entry),
    /// Everything up to here is final, whether it has been delivered yet or not. Only at [`Level::Stored`].
    Committed(Offset),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    #[error(
        "the wanted record is not in the log, which holds {start} to {end}: take a snapshot, then follow from there"
    )]
    OutOfRange { start: Offset, end: Offset },
    #[error("records were dropped from the end of the log: what was delivered may not be in it any more")]
    Truncated,
    #[error("record {offset} cannot be read: {why}")]
    Damaged { offset: Offset, why: Arc<str> },
    #[error("the log has stopped: {0}")]
    Stopped(Arc<str>),
    #[error("the log was closed")]
    Closed,
}

pub struct Subscription {
    directory: Arc<PathBuf>,
    index: SharedIndex,
    tail: Arc<Tail>,
    view: watch::Receiver<View>,
    level: Level,
    next: Offset,
    told: Offset,
    begun: bool,
    truncations: u64,
    discards: u64,
    ready: VecDeque<Arc<Entry>>,
    cursor: Option<Cursor>,
}

/// Where the next record begins in which file.
#[derive(Debug)]
struct Cursor {
    file: Arc<File>,
    segment: Offset,
    next: Offset,
    position: u64,
}

impl Subscription {
    pub(crate) fn new(
        directory: Arc<PathBuf>,
        index: SharedIndex,
        tail: Arc<Tail>,
        mut view: watch::Receiver<View>,
        next: Offset,
        level: Level,
    ) -> Subscription {
        let (truncations, discards) = {
            let now = view.borrow_and_update();
            (now.truncations, now.discards)
        };
        Subscription {
            directory,
            index,
            tail,
            view,
            level,
            next,
            told: Offset::ZERO,
            begun: false,
            truncations,
            discards,
            ready: VecDeque::new(),
            cursor: None,
        }
    }

    /// The next offset that will be delivered.
    pub fn position(&self) -> Offset {
        self.ready.front().map_or(self.next, |entry| entry.offset)
    }

    /// Waits for the next event. May be dropped and called again without losing anything.
    pub async fn next(&mut self) -> Result<Event, SubscribeError> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Event::Entry(Arc::unwrap_or_clone(entry)));
            }
            let view = self.view.borrow_and_update().clone();
            self.check(&view)?;
            if self.level == Level::Stored && view.committed > self.told {
                self.told = view.committed;
                return Ok(Event::Committed(self.told));
            }
            let limit = self.limit(&view);
            if self.next <= limit {
                self.fetch(limit).await?;
            } else if self.view.changed().await.is_err() {
                return Err(SubscribeError::Closed);
            }
        }
    }

    fn limit(&self, view: &View) -> Offset {
        match self.level {
            Level::Stored => view.generations.end(),
            Level::Committed => view.committed,
        }
    }

    fn check(&mut self, view: &View) -> Result<(), SubscribeError> {
        if let Some(why) = &view.stopped {
            return Err(SubscribeError::Stopped(why.clone()));
        }
        let dropped =
            view.discards != self.discards || (self.level == Level::Stored && view.truncations != self.truncations);
        if dropped {
            return Err(SubscribeError::Truncated);
        }
        let (start, end) = (view.generations.start(), view.generations.end());
        if self.next < start || (!self.begun && self.next > end.next()) {
            return Err(SubscribeError::OutOfRange { start, end });
        }
        self.begun = true;
        Ok(())
    }

    async fn fetch(&mut self, limit: Offset) -> Result<(), SubscribeError> {
        let mut found = self.tail.read(self.next, limit, CHUNK_BYTES);
        if found.is_empty() {
            let reading = Reading {
                directory: self.directory.clone(),
                index: self.index.clone(),
                cursor: self.cursor.take().filter(|cursor| cursor.next == self.next),
                from: self.next,
                limit,
            };
            let read = tokio::task::spawn_blocking(|| reading.chunk()).await;
            let read = read.map_err(io::Error::other).and_then(|read| read);
            match read {
                Ok((entries, cursor)) => (found, self.cursor) = (entries, Some(cursor)),
                Err(why) => {
                    // The log may have been trimmed or cut while it was being read.
                    let view = self.view.borrow().clone();
                    self.check(&view)?;
                    return Err(SubscribeError::Damaged { offset: self.next, why: why.to_string().into() });
                }
            }
        }
        self.next = found.last().map_or(self.next, |entry| entry.offset.next());
        self.ready.extend(found);
        Ok(())
    }
}

struct Reading {
    directory: Arc<PathBuf>,
    index: SharedIndex,
    cursor: Option<Cursor>,
    from: Offset,
    limit: Offset,
}

impl Reading {
    /// At least one record, from one segment.
    fn chunk(self) -> io::Result<(Vec<Arc<Entry>>, Cursor)> {
        let (path, generation, length, mark) = {
            let index = read(&self.index);
            let segment = index.find(self.from).ok_or(io::ErrorKind::NotFound)?;
            (segment.path(&self.directory), segment.generation, segment.length, segment.mark(self.from))
        };
        let cursor = match self.cursor.filter(|cursor| path.ends_with(crate::segment::file_name(cursor.segment))) {
            Some(cursor) => cursor,
            None => open(&path, mark)?,
        };
        scan(cursor, generation, length, self.from, self.limit)
    }
}

fn open(path: &std::path::Path, mark: (Offset, u64)) -> io::Result<Cursor> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let segment = crate::segment::parse_file_name(name).unwrap_or_default();
    Ok(Cursor { file: Arc::new(File::open(path)?), segment, next: mark.0, position: mark.1 })
}

fn scan(
    cursor: Cursor,
    generation: Generation,
    length: u64,
    from: Offset,
    limit: Offset,
) -> io::Result<(Vec<Arc<Entry>>, Cursor)> {
    // Never behind what is whole: bytes there may be cut off and written anew.
    let rest = length.saturating_sub(cursor.position);
    let bytes = ReadFrom { file: &cursor.file, position: cursor.position }.take(rest);
    let buffered = BufReader::with_capacity(READ_BYTES, bytes);
    let mut scanner = Scanner::resume(buffered, cursor.position, cursor.next, generation);
    let (mut entries, mut left) = (Vec::new(), Some(CHUNK_BYTES));
    while left.is_some() && scanner.expected() <= limit {
        let Some(frame) = scanner.next() else { break };
        let entry = frame.map_err(io::Error::other)?.entry;
        if entry.offset >= from {
            left = left.and_then(|left| left.checked_sub(entry.bytes.len()));
            entries.push(Arc::new(entry));
        }
    }
    let (next, position) = (scanner.expected(), scanner.position());
    if entries.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((entries, Cursor { next, position, ..cursor }))
}
