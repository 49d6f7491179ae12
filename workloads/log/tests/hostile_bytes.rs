//! The fuzz targets' bodies with seeded random and mutated bytes, on the stable toolchain.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../fuzz/src/bodies.rs"]
mod bodies;
mod rig;

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
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn records() {
    hammer(&golden(), bodies::record_decode);
}

#[tokio::test]
async fn segments() {
    let home = tempfile::tempdir().unwrap();
    let log = rig::open(home.path());
    rig::lead(&log, 1).await;
    for turn in 0..6 {
        rig::commit(&log, 1, &rig::record(turn, 10)).await;
    }
    drop(log);
    let seeds: Vec<_> = rig::segment_files(home.path()).iter().map(|file| std::fs::read(file).unwrap()).collect();
    hammer(&seeds, bodies::segment_scan);
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
    hammer(&seeds, bodies::stream_message);
}
