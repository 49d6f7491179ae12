//! The newest records in memory, so that those who follow closely never read the disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{Entry, Offset};

/// Tail of record bytes that is held.
pub(crate) const TAIL_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Without gaps, up to the end of the log.
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

impl Tail {
    pub fn push(&self, entries: Vec<Entry>) {
        let mut held = self.held();
        for entry in entries {
            held.bytes += entry.bytes.len();
            held.entries.push_back(Arc::new(entry));
        }
        while held.bytes > TAIL_BYTES {
            let Some(oldest) = held.entries.pop_front() else { break };
            held.bytes -= oldest.bytes.len();
        }
    }

    pub fn truncate(&self, from: Offset) {
        let mut held = self.held();
        while held.entries.back().is_some_and(|entry| entry.offset >= from) {
            let Some(newest) = held.entries.pop_back() else { break };
            held.bytes -= newest.bytes.len();
        }
    }

    /// Records from `from` through `through`, as many as fit into `bytes` but at least one; empty when `from` is not
    /// held.
    pub fn read(&self, from: Offset, through: Offset, bytes: usize) -> Vec<Arc<Entry>> {
        let held = self.held();
        let Some(first) = held.entries.front().map(|entry| entry.offset) else { return Vec::new() };
        let Some(skip) = from.0.checked_sub(first.0).and_then(|skip| usize::try_from(skip).ok()) else {
            return Vec::new();
        };
        let mut left = Some(bytes);
        let wanted = held.entries.iter().skip(skip).take_while(|entry| entry.offset <= through);
        wanted
            .take_while(|entry| {
                let fits = left.is_some();
                left = left.and_then(|left| left.checked_sub(entry.bytes.len()));
                fits
            })
            .cloned()
            .collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use protocol::Generation;

    use super::*;

    fn entry(offset: u64, bytes: usize) -> Entry {
        Entry { offset: Offset(offset), generation: Generation(1), bytes: vec![0; bytes] }
    }

    fn offsets(tail: &Tail, from: u64, through: u64, bytes: usize) -> Vec<u64> {
        tail.read(Offset(from), Offset(through), bytes).iter().map(|entry| entry.offset.0).collect()
    }

    #[test]
    fn it_is_bounded_and_reads_whole_ranges_only() {
        let tail = Tail::default();
        (1..=20).for_each(|offset| tail.push(vec![entry(offset, TAIL_BYTES / 10)]));
        assert_eq!(offsets(&tail, 10, 20, usize::MAX), Vec::<u64>::new());
        assert_eq!(offsets(&tail, 11, 13, usize::MAX), [11, 12, 13]);
        assert_eq!(offsets(&tail, 11, 20, 0), [11]);
        tail.truncate(Offset(13));
        assert_eq!(offsets(&tail, 11, 20, usize::MAX), [11, 12]);
        tail.push(vec![entry(13, TAIL_BYTES + 1)]);
        assert_eq!(tail.held().entries.len(), 0);
        assert_eq!(tail.held().bytes, 0);
    }
}
