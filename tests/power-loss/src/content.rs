//! The bytes of one file: as they are read, and as they would be after a power loss.

/// Page that a disk writes whole or not at all.
const PAGE_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Bytes { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn make(&self, to: &mut Vec<u8>) {
        match self {
            Change::Length(length) => to.resize(*length, 0),
            Change::Bytes { at, bytes } => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
        }
    }

    /// The parts of which each may reach the disk without the others.
    fn parts(self) -> Vec<Change> {
        let Change::Bytes { mut at, bytes } = self else { return vec![self] };
        let mut rest = &bytes[..];
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(PAGE_BYTES - at % PAGE_BYTES));
            parts.push(Change::Bytes { at, bytes: part.to_vec() });
            at += part.len();
            rest = later;
        }
        parts
    }
}

impl Content {
    pub fn len(&self) -> usize {
        self.now.len()
    }

    pub fn read(&self, at: usize, length: usize) -> &[u8] {
        let start = at.min(self.now.len());
        &self.now[start..(start + length).min(self.now.len())]
    }

    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        self.change(Change::Bytes { at, bytes: bytes.to_vec() });
    }

    pub fn resize(&mut self, length: usize) {
        self.change(Change::Length(length));
    }

    fn change(&mut self, change: Change) {
        change.make(&mut self.now);
        self.unsynced.push(change);
    }

    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.make(&mut self.durable);
        }
    }

    /// Loses what was not synced, except the changes that `survives` lets through.
    pub fn forget(&mut self, mut survives: impl FnMut() -> bool) {
        for part in std::mem::take(&mut self.unsynced).into_iter().flat_map(Change::parts) {
            if survives() {
                part.make(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
    }
}
