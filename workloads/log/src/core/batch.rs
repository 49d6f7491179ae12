//! Requests that are written together: one write and one sync for everything that came while the last sync ran.

use protocol::{Entry, Generation, MAX_RECORD_BYTES, Offset};

use super::{Command, Core, Request, Running, Ticket};
use crate::refusal::{AppendError, LogError};

/// A write takes requests up to this size together (a single one may be larger).
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// One write on its way to the file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Generations of each record, in order.
    pub generations: Vec<Generation>,
    /// Each with its last offset.
    pub appends: Vec<(Ticket, Offset)>,
    pub stores: Vec<(Ticket, Offset)>,
}

impl Core {
    /// None: every request at the queue's head was refused or had nothing new.
    pub(super) fn start_write(&mut self) -> Option<Command> {
        let mut batch = Batch::default();
        let mut entries = Vec::new();
        let mut bytes = 0;
        while bytes < MAX_BATCH_BYTES {
            let before = entries.len();
            match self.queue.pop_front() {
                Some(Request::Append(ticket, generation, records)) => {
                    self.take_append(ticket, generation, records, &mut entries, &mut batch);
                }
                Some(Request::Store(ticket, found)) => self.take_store(ticket, found, &mut entries, &mut batch),
                Some(other) => {
                    self.queue.push_front(other);
                    break;
                }
                None => break,
            }
            bytes += entries[before..].iter().map(|entry| entry.bytes.len()).sum::<usize>();
        }
        if entries.is_empty() {
            return None;
        }
        batch.generations = entries.iter().map(|entry| entry.generation).collect();
        self.running = Some(Running::Write(batch));
        Some(Command::Write { entries, durable: self.durable })
    }

    fn take_append(
        &mut self,
        ticket: Ticket,
        expected: Generation,
        records: Vec<Vec<u8>>,
        entries: &mut Vec<Entry>,
        batch: &mut Batch,
    ) {
        let bytes = records.iter().map(Vec::len).sum();
        let refused = match &self.reign {
            None => Some(AppendError::NotLeading),
            Some(reign) if reign.generation != expected => {
                Some(AppendError::Fenced { expected, ours: reign.generation })
            }
            Some(_) if bytes > MAX_RECORD_BYTES => Some(AppendError::TooLarge(bytes)),
            Some(_) => None,
        };
        if let Some(refused) = refused {
            return self.appended(ticket, Err(refused));
        }
        let mut last = entries.last().map_or(self.generations.end(), |entry| entry.offset);
        if records.is_empty() {
            return self.appended(ticket, Ok(last));
        }
        for bytes in records {
            last = last.next();
            entries.push(Entry { offset: last, generation: expected, bytes });
        }
        batch.appends.push((ticket, last));
    }

    fn take_store(&mut self, ticket: Ticket, found: Vec<Entry>, entries: &mut Vec<Entry>, batch: &mut Batch) {
        let before = entries.len();
        let refused = self
            .only_following()
            .err()
            .or_else(|| found.into_iter().find_map(|entry| self.take_stored(entry, entries).err()));
        match refused {
            Some(refused) => {
                entries.truncate(before);
                self.answer(ticket, Err(refused));
            }
            None => {
                let last = entries.last().map_or(self.generations.end(), |entry| entry.offset);
                batch.stores.push((ticket, last));
                if entries.is_empty() {
                    // All of it was here before.
                    batch.stores.pop();
                    self.answer(ticket, Ok(last));
                }
            }
        }
    }

    fn take_stored(&self, entry: Entry, entries: &mut Vec<Entry>) -> Result<(), LogError> {
        let (end, last) = entries
            .last()
            .map_or((self.generations.end(), self.generations.last()), |last| (last.offset, last.generation));
        let offset = entry.offset;
        if entry.bytes.len() > MAX_RECORD_BYTES {
            return Err(LogError::TooLarge { offset, bytes: entry.bytes.len() });
        }
        if offset <= end {
            // Said twice, which is allowed; what is below the start was trimmed and cannot be compared.
            let mut here = entries.iter().find(|e| e.offset == offset).map(|e| e.generation);
            here = here.or_else(|| self.generations.at(offset));
            let same = offset < self.generations.start() || here == Some(entry.generation);
            return if same { Ok(()) } else { Err(LogError::Forked { offset }) };
        }
        if offset != end.next() {
            return Err(LogError::Gap { end, found: offset });
        }
        if entry.generation < last {
            return Err(LogError::Backwards { offset, found: entry.generation, last });
        }
        entries.push(entry);
        Ok(())
    }
}
