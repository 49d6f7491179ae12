//! Where in which file a record begins. Shared between the one writer and all readers; about 16 bytes of memory per
//! 64 KiB of log.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protocol::{Generation, Offset};

use crate::segment::{FRAME_HEADER_BYTES, HEADER_BYTES, Header, file_name};

/// A reader skips at most this much to find a record.
const STEP_BYTES: u64 = 64 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub first: Offset,
    pub generation: Generation,
    /// Generation of the record before the first.
    pub before: Generation,
    /// The next record to be written here.
    pub next: Offset,
    /// Length of the file, up to which it holds whole frames.
    pub length: u64,
    /// Time of the last write.
    pub modified: SystemTime,
    /// Offsets and where their frames begin, ascending, at least [`STEP_BYTES`] apart.
    marks: Vec<(Offset, u64)>,
}

impl Segment {
    pub fn empty(header: &Header, modified: SystemTime) -> Segment {
        let Header { first, generation, generation_before: before, .. } = *header;
        let length = HEADER_BYTES as u64;
        Segment { first, generation, before, next: first, length, modified, marks: vec![(first, length)] }
    }

    pub fn path(&self, directory: &Path) -> PathBuf {
        directory.join(file_name(self.first))
    }

    pub fn is_empty(&self) -> bool {
        self.next == self.first
    }

    /// A frame with a body of that many bytes was added.
    pub fn grow(&mut self, body: usize) {
        if self.marks.last().is_none_or(|mark| self.length - mark.1 >= STEP_BYTES) {
            self.marks.push((self.next, self.length));
        }
        self.length += (FRAME_HEADER_BYTES + body) as u64;
        self.next = self.next.next();
    }

    /// The file was cut so that `next` is the next record and begins at `length`.
    pub fn cut(&mut self, next: Offset, length: u64) {
        self.next = next;
        self.length = length;
        self.marks.retain(|mark| mark.1 <= length);
    }

    /// The nearest known frame at or before `offset`.
    pub fn mark(&self, offset: Offset) -> (Offset, u64) {
        let after = self.marks.partition_point(|mark| mark.0 <= offset);
        self.marks[after.max(1) - 1]
    }
}

/// In the order of their offsets; never empty once a log is open.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub segments: Vec<Segment>,
}

impl Index {
    pub fn start(&self) -> Offset {
        self.segments.first().map_or(Offset(1), |segment| segment.first)
    }

    /// The segment that holds `offset`.
    pub fn find(&self, offset: Offset) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.first <= offset);
        self.segments.get(after.checked_sub(1)?).filter(|segment| offset < segment.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_sparse_and_never_behind_a_record() {
        let (generation, generation_before) = (Generation(1), Generation(0));
        let header = Header {
            log: protocol::LogName::Replication,
            starts_anew: false,
            generation,
            first: Offset(5),
            generation_before,
        };
        let mut segment = Segment::empty(&header, SystemTime::UNIX_EPOCH);
        let mut positions = Vec::new();
        for _ in 0..10_000 {
            positions.push(segment.length);
            segment.grow(100);
        }
        assert!(segment.marks.len() < 25, "{}", segment.marks.len());
        for (index, position) in positions.iter().enumerate() {
            let (offset, at) = segment.mark(Offset(5 + index as u64));
            assert!(at <= *position && position - at < STEP_BYTES + 132);
            assert_eq!(positions[(offset.0 - 5) as usize], at);
        }
        segment.cut(Offset(5), 40);
        assert_eq!(segment.mark(Offset(5)), (Offset(5), 40));
    }
}
