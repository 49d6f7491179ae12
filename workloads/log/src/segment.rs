//! The bytes of a segment file: a header that says what the file is, then frames, one per record.
//!
//! Header (40 bytes, numbers big-endian): magic (8), format version (2), log (1), start (1: 1 when the log begins anew
//! here and older segments are leftovers), generation of its records (8), first offset (8), generation of the record
//! before it (8, 0 = not known or none), CRC32C of all before (4).
//!
//! Frame: CRC32C of everything behind it (4), length of the body (4), generation (8), offset (8), synced (8), body.
//! `synced` is how far the log was on disk when the frame was written: it tells a torn tail (never on disk, may go)
//! from damage (was on disk, must not go silently).

use protocol::{Generation, LogName, MAX_RECORD_BYTES, Offset};

pub const FORMAT_VERSION: u16 = 1;
pub const HEADER_BYTES: usize = 40;
pub const FRAME_HEADER_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"hgoplog\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub log: LogName,
    /// True: whatever the directory holds from before is to be dropped.
    pub starts_anew: bool,
    pub generation: Generation,
    pub first: Offset,
    pub generation_before: Generation,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("it is shorter than a segment's header of 40 bytes")]
    Short,
    #[error("it does not begin as a segment of this log format does")]
    Magic,
    #[error("it has format version {0}, and this program knows versions up to 1")]
    Newer(u16),
    #[error("the checksum of its header is wrong")]
    Checksum,
    #[error("its header holds a value that no version of this program writes")]
    Value,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_be_bytes());
        bytes[10] = match self.log {
            LogName::Replication => 0,
            LogName::Publication => 1,
        };
        bytes[11] = u8::from(self.starts_anew);
        bytes[12..20].copy_from_slice(&self.generation.0.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.first.0.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.generation_before.0.to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        if bytes.len() < HEADER_BYTES {
            return Err(HeaderError::Short);
        }
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Magic);
        }
        let version = u16::from_be_bytes([bytes[8], bytes[9]]);
        if version > FORMAT_VERSION {
            return Err(HeaderError::Newer(version));
        }
        if crc32c::crc32c(&bytes[..36]) != u32_at(bytes, 36) {
            return Err(HeaderError::Checksum);
        }
        let log = match bytes[10] {
            0 => LogName::Replication,
            1 => LogName::Publication,
            _ => return Err(HeaderError::Value),
        };
        let first = Offset(u64_at(bytes, 20));
        if version == 0 || bytes[11] > 1 || first == Offset::ZERO {
            return Err(HeaderError::Value);
        }
        Ok(Header {
            log,
            starts_anew: bytes[11] == 1,
            generation: Generation(u64_at(bytes, 12)),
            first,
            generation_before: Generation(u64_at(bytes, 28)),
        })
    }
}

/// Frame header, which stands before a record's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    checksum: u32,
    pub length: u32,
    pub generation: Generation,
    pub offset: Offset,
    pub synced: Offset,
}

impl FrameHeader {
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> FrameHeader {
        FrameHeader {
            checksum: u32_at(bytes, 0),
            length: u32_at(bytes, 4),
            generation: Generation(u64_at(bytes, 8)),
            offset: Offset(u64_at(bytes, 16)),
            synced: Offset(u64_at(bytes, 24)),
        }
    }

    /// None: longer than any record, so not a frame.
    pub fn body_length(&self) -> Option<usize> {
        usize::try_from(self.length).ok().filter(|length| *length <= MAX_RECORD_BYTES)
    }

    pub fn matches(&self, header: &[u8; FRAME_HEADER_BYTES], body: &[u8]) -> bool {
        crc32c::crc32c_append(crc32c::crc32c(&header[4..]), body) == self.checksum
    }
}

/// Appends one frame to `to`. The body is at most [`MAX_RECORD_BYTES`] long; the core refuses longer ones.
pub fn encode_frame(to: &mut Vec<u8>, generation: Generation, offset: Offset, synced: Offset, body: &[u8]) {
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(&generation.0.to_be_bytes());
    to.extend_from_slice(&offset.0.to_be_bytes());
    to.extend_from_slice(&synced.0.to_be_bytes());
    to.extend_from_slice(body);
    let checksum = crc32c::crc32c(&to[start + 4..]);
    to[start..start + 4].copy_from_slice(&checksum.to_be_bytes());
}

pub fn file_name(first: Offset) -> String {
    format!("{:020}.segment", first.0)
}

/// The first offset that a file's name states; None when it is not a segment's name.
pub fn parse_file_name(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".segment")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            log: LogName::Publication,
            starts_anew: true,
            generation: Generation(7),
            first: Offset(1 << 40),
            generation_before: Generation(6),
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_no_bit_may_change() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&changed).is_err(), "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..39]), Err(HeaderError::Short));
    }

    #[test]
    fn a_newer_format_is_named_even_when_nothing_else_is_understood() {
        let mut bytes = header().encode();
        bytes[9] = 2;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn file_names_sort_by_offset_and_are_strict() {
        assert_eq!(parse_file_name(&file_name(Offset(u64::MAX))), Some(Offset(u64::MAX)));
        assert!(file_name(Offset(9)) < file_name(Offset(10)));
        for bad in ["1.segment", "+0000000000000000001.segment", "00000000000000000001.segment.new", "version"] {
            assert_eq!(parse_file_name(bad), None, "{bad}");
        }
    }
}
