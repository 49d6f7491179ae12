//! The fuzz targets' bodies with seeded random and mutated bytes, on the stable toolchain.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use log::segment::{self, Header};
use protocol::record::GenerationStarted;
use protocol::stream::{FollowerKind, FromFollower, FromMaster, LaneProgress, Progress};
use protocol::{CreationId, Entry, Generation, LogName, Offset, Record, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ROUNDS: usize = 20_000;

/// Flips, cuts, repeats, inserts; and now and then something unrelated.
fn mutated(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.random()),
            2 => bytes.splice(at..at, [0xff; 9]).for_each(drop),
            3 => {
                let from = random.random_range(0..=at);
                let piece = bytes[from..at].to_vec();
                bytes.extend(piece);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            _ => {}
        }
    }
    if random.random_bool(0.05) {
        bytes = (0..random.random_range(0..200)).map(|_| random.random()).collect();
    }
    bytes
}

fn hammer(seeds: &[Vec<u8>], body: fn(&[u8])) {
    assert!(!seeds.is_empty());
    let mut random = StdRng::seed_from_u64(1);
    seeds.iter().for_each(|seed| body(seed));
    (0..ROUNDS).for_each(|_| body(&mutated(&mut random, seeds)));
}

fn golden() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../workloads/protocol/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn records() {
    hammer(&golden(), hostile_bytes::record_decode);
}

#[test]
fn segments() {
    let (generation, first) = (Generation(1), Offset(5));
    let header =
        Header { log: LogName::Replication, starts_anew: false, generation, first, generation_before: Generation(0) };
    let mut whole = header.encode().to_vec();
    for (offset, record) in (first.0..).zip(golden()) {
        segment::encode_frame(&mut whole, generation, Offset(offset), Offset(offset - 1), &record);
    }
    hammer(&[header.encode().to_vec(), whole], hostile_bytes::segment_scan);
}

#[test]
fn messages() {
    let lane = LaneProgress { repository: CreationId(3), applied: Offset(9), shown: Offset(8), quarantined: true };
    let hello = FromFollower::Hello {
        name: "mirror-0".parse().unwrap(),
        kind: FollowerKind::Mirror,
        replication_from: Offset(1),
        replication_generation: Generation(2),
        publication_from: Offset(3),
        publication_generation: Generation(4),
        url: Some("http://mirror".into()),
        peer: None,
        disk: None,
    };
    let record = Record::GenerationStarted(GenerationStarted { master: "a".parse().unwrap(), time: Timestamp(1) });
    let entry = Entry { offset: Offset(1), generation: Generation(1), bytes: record.encode() };
    let from_followers = [
        hello,
        FromFollower::Stored { log: LogName::Replication, through: Offset(7) },
        FromFollower::Progress(Progress { lanes: vec![lane; 3], ..Progress::default() }),
    ];
    let from_masters = [
        FromMaster::Entry { log: LogName::Publication, entry },
        FromMaster::OutOfRange { log: LogName::Replication, start: Offset(5), end: Offset(9) },
        FromMaster::Committed { log: LogName::Replication, through: Offset(9) },
        FromMaster::Heartbeat {
            generation: Generation(4),
            time: Timestamp(5),
            replication_start: Offset(1),
            publication_start: Offset(2),
        },
    ];
    let mut seeds: Vec<Vec<u8>> =
        from_followers.iter().map(|message| [vec![0], minicbor::to_vec(message).unwrap()].concat()).collect();
    seeds.extend(from_masters.iter().map(|message| [vec![1], minicbor::to_vec(message).unwrap()].concat()));
    hammer(&seeds, hostile_bytes::stream_message);
}

/// A bundle2 whose changegroup brings two changesets, in chunks of so many bytes.
fn bundle(chunk: usize) -> Vec<u8> {
    let mut changes = Vec::new();
    for node in [1, 2] {
        changes.extend([0, 0, 0, 4 + 100 + 3]);
        changes.extend([node; 100 + 3]);
    }
    changes.extend([0; 4]);
    let part = b"\x0bchangegroup\0\0\0\0\x01\0\x07\x02version02";
    let mut bytes = b"HG20\0\0\0\0\0\0\0".to_vec();
    bytes.push(u8::try_from(part.len()).unwrap());
    bytes.extend(part);
    for piece in changes.chunks(chunk) {
        bytes.extend(u32::try_from(piece.len()).unwrap().to_be_bytes());
        bytes.extend(piece);
    }
    bytes.extend([0; 8]);
    bytes
}

#[test]
fn bundles() {
    let seeds = [bundle(50), bundle(4096)];
    for seed in &seeds {
        assert_eq!(push_gate::proof::read(seed.as_slice()).unwrap().changesets, 2);
    }
    hammer(&seeds, hostile_bytes::bundle_proof);
}

#[test]
fn requests() {
    let heads: [&[u8]; 4] = [
        b"\x09\r\nGET /r/log?rev=branch(\"x\") HTTP/1.1\r\nA: <\"\xff>\r\n\r\nGET /<`\xe4 HTTP/1.1\r\n\r\n",
        b"\x50POST /< HTTP/1.1\r\ncontent-LENGTH: 7\r\n\r\nGET /<\"GET /a#b|{}\\^ HTTP/1.1\r\n\r\n",
        b"\x30POST /< HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n<\r\n0\r\n\r\nGET /< HTTP/1.1\r\n\r\n",
        b"\x11PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04<<<< <<<< \r\n<",
    ];
    hammer(&heads.map(<[u8]>::to_vec), hostile_bytes::request_heads);
    let classes: [&[u8]; 3] = [
        b"cmd=getbundle&common=00&heads=00+11&cg=0\n/raw-file/tip/x\ncommon=22&stream=1",
        b"cmd=batch&cmds=heads+;known+nodes%3D\n\ncmds=stream_out+",
        b"\n//%61rchive-x/tip.zip\n",
    ];
    hammer(&classes.map(<[u8]>::to_vec), hostile_bytes::request_class);
}

#[test]
fn lines() {
    let first: [&[u8]; 3] = [
        b"PROXY TCP4 10.1.2.3 10.0.0.1 4 80\r\n",
        b"PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 65535 1\r\n",
        b"PROXY UNKNOWN\r\n",
    ];
    hammer(&first.map(<[u8]>::to_vec), hostile_bytes::proxy_line);
    let commands: [&[u8]; 3] =
        [b"hg -R hello serve --stdio", br#"hg -R "/a/b-c_d.e//" serve --stdio"#, br"hg -R 'it'\''s' serve --stdio"];
    hammer(&commands.map(<[u8]>::to_vec), hostile_bytes::ssh_command);
}
