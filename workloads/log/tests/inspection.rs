//! `verify` finds what is wrong, names it, and goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod rig;

use log::blobs::{Blobs, digest_of};
use log::inspect::{Finding, Item, read, verify};
use log::{Generations, Log};
use protocol::record::{Offsets, RepositoryDeleted};
use protocol::{CreationId, Digest, Entry, Generation, Offset, Payload, Push, Record, Timestamp};

use rig::{commit, lead, options, record, segment_files};

fn push(digest: Digest, size: u64) -> Record {
    Record::Push(Push {
        repository: CreationId(1),
        push_id: None,
        user: "a".parse().unwrap(),
        time: Timestamp(1),
        bundle: Some(Payload::Blob { digest, size }),
        changesets: 1,
        tip: None,
        heads_added: vec![],
        heads_removed: vec![],
        heads: 1,
        bookmarks: vec![],
        published: vec![],
        markers: None,
        nodes: None,
    })
}

fn findings(directory: &std::path::Path, blobs: Option<&Blobs>) -> Vec<String> {
    let mut found = Vec::new();
    let summary = verify(directory, blobs, |finding| found.push(finding.to_string())).unwrap();
    assert_eq!(summary.findings, found.len() as u64);
    found
}

#[tokio::test]
async fn a_sound_log_has_no_findings_and_is_listed_in_order() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 300)).unwrap();
    for generation in 1..=3 {
        lead(&log, generation).await;
        for turn in 0..5 {
            commit(&log, generation, &record(turn, 50)).await;
        }
        log.follow().await;
    }
    assert_eq!(findings(home.path(), None), [""; 0], "also beside the process that writes it");
    let entries = read(home.path()).unwrap().filter(|item| matches!(item, Item::Entry { .. })).count();
    let mut expected = Generations::empty(Offset(1), Generation(0));
    (0..15).for_each(|turn| expected.push(Generation(1 + turn / 5)));
    assert_eq!((entries as u64, &*log.view().generations), (15, &expected));
    let files = segment_files(home.path());
    drop(log);
    let mut bytes = std::fs::read(&files[1]).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&files[1], bytes).unwrap();
    std::fs::remove_file(&files[3]).unwrap();
    let found = findings(home.path(), None);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("at byte 40: a record's checksum is wrong"), "{found:?}");
    assert!(found[1].contains("where record"), "{found:?}");
}

#[tokio::test]
async fn what_is_trimmed_while_it_is_read_is_no_finding() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(home.path(), 300)).unwrap();
    lead(&log, 1).await;
    for turn in 0..10 {
        commit(&log, 1, &record(turn, 50)).await;
    }
    let mut items = read(home.path()).unwrap();
    assert!(matches!(items.next(), Some(Item::Segment { .. })));
    log.trim(Offset(9)).await.unwrap();
    let left = segment_files(home.path());
    let listed: Vec<Item> = items.collect();
    assert!(!listed.iter().any(|item| matches!(item, Item::Finding(_))), "{listed:?}");
    let segments = listed.iter().filter(|item| matches!(item, Item::Segment { .. })).count();
    assert!(left.len() < 5 && segments == left.len(), "{segments} of {left:?}");
}

#[tokio::test]
async fn blobs_and_unreadable_records_are_found() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::open(options(&home.path().join("log"), 1 << 20)).unwrap();
    let blobs = Blobs::open(home.path().join("blobs")).unwrap();
    let names: Vec<_> = [&b"good"[..], b"evil", b"gone"].map(|bytes| digest_of(bytes).unwrap().0).to_vec();
    for (digest, bytes) in names.iter().zip([&b"good"[..], b"evil"]) {
        let mut receiving = blobs.receive(*digest, 4).unwrap();
        receiving.write(bytes).unwrap();
        receiving.finish().unwrap();
    }
    std::fs::write(blobs.path(names[1]), b"EVIL").unwrap();
    lead(&log, 1).await;
    for digest in &names {
        commit(&log, 1, &push(*digest, 4)).await;
    }
    commit(&log, 1, &Record::Released(Offsets { offsets: vec![] })).await;
    commit(&log, 1, &Record::RepositoryDeleted(RepositoryDeleted { repository: CreationId(1) })).await;
    log.follow().await;
    let raw =
        |offset, bytes: &[u8]| Entry { offset: Offset(offset), generation: Generation(1), bytes: bytes.to_vec() };
    log.store(vec![raw(6, &[4, 1, 0xff]), raw(7, &[99, 3])]).await.unwrap();
    let mut found = Vec::new();
    verify(&home.path().join("log"), Some(&blobs), |finding| found.push(finding.clone())).unwrap();
    let is = |at: usize, offset: u64, matched: bool| assert!(matched && found.len() == 4, "{at} {offset}: {found:?}");
    is(0, 2, matches!(&found[0], Finding::BlobDamaged { offset: Offset(2), .. }));
    is(1, 3, matches!(&found[1], Finding::BlobMissing { offset: Offset(3), .. }));
    is(2, 6, matches!(&found[2], Finding::Undecodable { offset: Offset(6), .. }));
    is(3, 7, matches!(&found[3], Finding::UnknownKind { offset: Offset(7), kind: 99, version: 3, .. }));
    assert_eq!(findings(&home.path().join("log"), None).len(), 2, "blobs are looked at only when given");
}
