//! Bodies of what is done with hostile bytes, for each parser that gets them. Run by the fuzz targets (`fuzz/`), and
//! by this crate's test on the stable toolchain.

use std::io::BufReader;

use http::HeaderMap;
use http_mirror::heads::Heads;
use http_mirror::wire;
use log::scan::{Damage, Frame, Scanner, was_synced};
use mercurial::{Permission, WireCommands};
use protocol::stream::{FromFollower, FromMaster};
use protocol::{Offset, Record, Registry, proxy_line};
use push_gate::proof;
use ssh_server::command::{self, Command};

/// Whatever is accepted must be written back as something that reads the same.
pub fn record_decode(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    let _ = record.repository(Offset(1));
    let _ = Registry::default().apply(Offset(1), &record);
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

/// Proves a bundle: what is found does not depend on how much is read at once, and proves itself and nothing else.
pub fn bundle_proof(bytes: &[u8]) {
    let found = proof::read(bytes).ok();
    assert_eq!(proof::read(BufReader::with_capacity(1, bytes)).ok(), found);
    let Some(found) = found else { return };
    assert_eq!(proof::prove(found, Some(bytes)).is_ok(), found.changesets > 0);
    let other = proof::Claim { changesets: found.changesets + 1, ..found };
    assert!(proof::prove(other, Some(bytes)).is_err());
}

/// The first byte says where the bytes are cut in two, which changes nothing; nor does a second time.
pub fn request_heads(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let through = |pieces: &[&[u8]]| {
        let (mut heads, mut out) = (Heads::default(), Vec::new());
        pieces.iter().for_each(|piece| heads.follow(piece, &mut out));
        (out, heads.begun)
    };
    let (whole, begun) = through(&[bytes]);
    let (before, after) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(through(&[before, after]), (whole.clone(), begun));
    assert_eq!(through(&[&whole]), (whole, begun));
}

/// A query, a path and a body, each ended by a newline, as somebody posts them.
pub fn request_class(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let [query, path, body] = [0; 3].map(|_| parts.next().unwrap_or_default());
    let Ok(query) = std::str::from_utf8(query) else { return };
    let names = ["batch", "getbundle", "heads", "stream_out"];
    let commands: WireCommands = names.into_iter().map(|name| (name, Permission::Pull)).collect();
    let Ok(runs) = wire::runs(query, path, &commands) else { return };
    let mut headers = HeaderMap::new();
    let _ = wire::class(&runs, query, &headers, body);
    headers.insert("x-hgargs-post", body.len().into());
    let _ = wire::class(&runs, query, &headers, body);
}

/// Whatever says something is written as a line that says the same.
pub fn proxy_line(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    let Some(ends) = proxy_line::ends(line) else { return };
    let again = proxy_line::line(ends);
    assert!(again.len() <= proxy_line::MAX_BYTES);
    if let Some(said) = proxy_line::ends(&again) {
        assert_eq!((said.client.port(), said.server.port()), (ends.client.port(), ends.server.port()));
        assert_eq!(said.client.ip().to_canonical(), ends.client.ip().to_canonical());
        assert_eq!(said.server.ip().to_canonical(), ends.server.ip().to_canonical());
    }
}

/// Whatever is served is served under the path's own spelling, too, and that needs no quotes.
pub fn ssh_command(bytes: &[u8]) {
    if let Command::Serve(path) = command::parse(bytes) {
        let plain = format!("hg -R {path} serve --stdio");
        assert_eq!(command::parse(plain.as_bytes()), Command::Serve(path));
    }
}
