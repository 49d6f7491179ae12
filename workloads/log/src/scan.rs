//! Reads a segment's frames from any source of bytes and says exactly where and how they stop making sense.

use std::io::{ErrorKind, Read};

use protocol::{Entry, Generation, Offset};

use crate::segment::{FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, Header, HeaderError};

/// Where a segment stops being readable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position}: {reason}")]
pub struct Damage {
    /// Position in the file.
    pub position: u64,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("{0}")]
    Header(HeaderError),
    #[error("the file ends inside a record")]
    Torn,
    #[error("a record claims {0} bytes, more than any record has")]
    Length(u32),
    #[error("a record's checksum is wrong")]
    Checksum,
    #[error("record {found} stands where record {expected} belongs")]
    Offset { expected: Offset, found: Offset },
    #[error("a record of generation {found} stands in a segment of generation {expected}")]
    Generation { expected: Generation, found: Generation },
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Position of its first byte in the file.
    pub position: u64,
    pub entry: Entry,
    pub synced: Offset,
}

/// An iterator over the frames of one segment; ends after the first damage.
pub struct Scanner<R> {
    from: R,
    position: u64,
    next: Offset,
    generation: Generation,
    done: bool,
}

impl<R: Read> Scanner<R> {
    /// From the file's first byte.
    pub fn begin(mut from: R) -> Result<(Header, Scanner<R>), Damage> {
        let damage = |reason| Damage { position: 0, reason };
        let mut bytes = [0; HEADER_BYTES];
        let got = fill(&mut from, &mut bytes).map_err(damage)?;
        let header = Header::decode(&bytes[..got]).map_err(|why| damage(Reason::Header(why)))?;
        let scanner = Scanner::resume(from, HEADER_BYTES as u64, header.first, header.generation);
        Ok((header, scanner))
    }

    /// From a frame that is known to begin at `position`; `from` stands there.
    pub fn resume(from: R, position: u64, next: Offset, generation: Generation) -> Scanner<R> {
        Scanner { from, position, next, generation, done: false }
    }

    /// Answers the position of the next frame: everything before is intact.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The offset that belongs there.
    pub fn expected(&self) -> Offset {
        self.next
    }

    fn frame(&mut self) -> Result<Option<Frame>, Reason> {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        match fill(&mut self.from, &mut bytes)? {
            0 => return Ok(None),
            FRAME_HEADER_BYTES => {}
            _ => return Err(Reason::Torn),
        }
        let header = FrameHeader::decode(&bytes);
        let length = header.body_length().ok_or(Reason::Length(header.length))?;
        let mut body = Vec::new();
        (&mut self.from).take(length as u64).read_to_end(&mut body).map_err(unreadable)?;
        if body.len() < length {
            return Err(Reason::Torn);
        }
        if !header.matches(&bytes, &body) {
            return Err(Reason::Checksum);
        }
        if header.offset != self.next {
            return Err(Reason::Offset { expected: self.next, found: header.offset });
        }
        if header.generation != self.generation {
            return Err(Reason::Generation { expected: self.generation, found: header.generation });
        }
        let entry = Entry { offset: header.offset, generation: header.generation, bytes: body };
        Ok(Some(Frame { position: self.position, entry, synced: header.synced }))
    }
}

impl<R: Read> Iterator for Scanner<R> {
    type Item = Result<Frame, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.frame() {
            Ok(Some(frame)) => {
                self.position += (FRAME_HEADER_BYTES + frame.entry.bytes.len()) as u64;
                self.next = self.next.next();
                Some(Ok(frame))
            }
            Ok(None) => {
                self.done = true;
                None
            }
            Err(reason) => {
                self.done = true;
                Some(Err(Damage { position: self.position, reason }))
            }
        }
    }
}

/// Whether `rest`, the bytes of a segment from its first bad frame on, proves that this frame was once on disk: a
/// later frame that is whole says so. Then cutting there would lose records that somebody was told are safe.
pub fn was_synced(rest: &[u8], expected: Offset, generation: Generation) -> bool {
    (1..rest.len().saturating_sub(FRAME_HEADER_BYTES - 1)).any(|at| {
        let Ok(bytes) = <&[u8; FRAME_HEADER_BYTES]>::try_from(&rest[at..at + FRAME_HEADER_BYTES]) else {
            return false;
        };
        let header = FrameHeader::decode(bytes);
        // Cheap tests first: hardly any wrong place passes them, so that few checksums are computed.
        let plausible = header.generation == generation
            && header.offset > expected
            && header.offset.0 - expected.0 <= (rest.len() / FRAME_HEADER_BYTES) as u64
            && header.synced >= expected
            && header.synced < header.offset;
        let Some(length) = header.body_length().filter(|_| plausible) else { return false };
        let body = at + FRAME_HEADER_BYTES;
        rest.get(body..body + length).is_some_and(|body| header.matches(bytes, body))
    })
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<usize, Reason> {
    let mut got = 0;
    while got < bytes.len() {
        match from.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(unreadable(why)),
        }
    }
    Ok(got)
}

fn unreadable(why: std::io::Error) -> Reason {
    Reason::Unreadable(why.to_string())
}

#[cfg(test)]
mod tests {
    use protocol::LogName;

    use super::*;
    use crate::segment::encode_frame;

    fn segment(synced: &[u64]) -> Vec<u8> {
        let header = Header {
            log: LogName::Replication,
            starts_anew: false,
            generation: Generation(3),
            first: Offset(10),
            generation_before: Generation(2),
        };
        let mut bytes = header.encode().to_vec();
        for (index, synced) in synced.iter().enumerate() {
            let offset = Offset(10 + index as u64);
            encode_frame(&mut bytes, Generation(3), offset, Offset(*synced), &[index as u8; 20]);
        }
        bytes
    }

    #[test]
    fn every_flipped_bit_is_found_where_it_is() {
        let bytes = segment(&[9, 10, 11]);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let damage = match Scanner::begin(&changed[..]) {
                Err(damage) => damage,
                Ok((_, mut scanner)) => scanner.find_map(Result::err).unwrap(),
            };
            let frame = if bit / 8 < HEADER_BYTES { 0 } else { HEADER_BYTES + (bit / 8 - HEADER_BYTES) / 52 * 52 };
            assert_eq!(damage.position, frame as u64, "bit {bit}: {damage}");
        }
    }

    #[test]
    fn a_later_frame_tells_damage_from_a_torn_write() {
        let body = HEADER_BYTES + FRAME_HEADER_BYTES;
        for (synced, damaged) in [([9, 10, 11], true), ([9, 9, 9], false), ([9, 9, 10], true)] {
            let mut bytes = segment(&synced);
            bytes[body] ^= 1;
            assert_eq!(was_synced(&bytes[HEADER_BYTES..], Offset(10), Generation(3)), damaged, "{synced:?}");
        }
    }
}
