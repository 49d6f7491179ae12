//! What is done with hostile bytes. Included by the fuzz targets and by `workloads/log/tests/hostile_bytes.rs`, which
//! runs the same on the stable toolchain.

use log::scan::{Damage, Frame, Scanner, was_synced};
use protocol::stream::{FromFollower, FromMaster};
use protocol::{Offset, Record};

/// Whatever is accepted must be written back as something that reads the same.
pub fn record_decode(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    let _ = record.repository(Offset(1));
    let again = Record::decode(&record.encode());
    assert_eq!(again.as_ref(), Ok(&record));
}

/// Frames follow each other without gap or overlap, and a scan ends where it says.
pub fn segment_scan(bytes: &[u8]) {
    let Ok((header, mut scanner)) = Scanner::begin(bytes) else { return };
    let (mut next, mut position) = (header.first, scanner.position());
    let mut damage = None;
    for item in &mut scanner {
        match item {
            Ok(Frame { position: at, entry, .. }) => {
                assert_eq!((entry.offset, entry.generation, at), (next, header.generation, position));
                assert!(damage.is_none());
                position = at + 32 + entry.bytes.len() as u64;
                next = next.next();
            }
            Err(found) => damage = Some(found),
        }
    }
    assert!(position <= bytes.len() as u64);
    match damage {
        Some(Damage { position: at, .. }) => {
            assert_eq!(at, position);
            let _ = was_synced(&bytes[usize::try_from(at).unwrap_or(bytes.len())..], next, header.generation);
        }
        None => assert_eq!(position, bytes.len() as u64),
    }
}

/// The first byte chooses the direction.
pub fn stream_message(bytes: &[u8]) {
    let Some((direction, bytes)) = bytes.split_first() else { return };
    if direction % 2 == 0 {
        if let Ok(message) = minicbor::decode::<FromFollower>(bytes) {
            let again = minicbor::to_vec(&message).unwrap_or_default();
            assert_eq!(minicbor::decode::<FromFollower>(&again).ok(), Some(message));
        }
    } else if let Ok(message) = minicbor::decode::<FromMaster>(bytes) {
        let again = minicbor::to_vec(&message).unwrap_or_default();
        assert_eq!(minicbor::decode::<FromMaster>(&again).ok(), Some(message));
    }
}
