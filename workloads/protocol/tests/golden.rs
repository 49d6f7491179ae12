//! Bytes of records as released versions wrote them. A log may hold records for months, so these files never change: a
//! new kind or field brings new ones (`WRITE_GOLDEN=1 cargo test -p protocol --test golden` writes those that are
//! missing).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::record::{
    CloneBundlesChanged, GenerationStarted, InactiveReason, MirrorActive, MirrorInactive, Offsets, RepositoryCreated,
    RepositoryDeleted, RepositoryUpdated, SettingsChanged, Skip, Strip,
};
use protocol::{
    BookmarkMove, ChangesetId, CreationId, Digest, MasterSettings, Offset, Payload, Push, PushId, Record,
    RepositoryFormat, RepositorySettings, Timestamp, UnknownRecord,
};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))
}

fn changeset(byte: u8) -> ChangesetId {
    ChangesetId([byte; 20])
}

fn settings() -> RepositorySettings {
    RepositorySettings {
        description: "Développement".into(),
        write_groups: vec!["scm_level_3".into(), "scm_versioncontrol".into()],
        read_groups: vec!["security".into()],
        publishing: true,
        obsolescence: true,
        read_only_reason: Some("tree closed".into()),
    }
}

fn small_push() -> Push {
    Push {
        repository: CreationId(17),
        push_id: None,
        user: "someone@example.com".parse().unwrap(),
        time: Timestamp(1_469_000_000_123_456),
        bundle: None,
        changesets: 0,
        tip: None,
        heads_added: vec![],
        heads_removed: vec![],
        heads: 0,
        bookmarks: vec![],
        published: vec![],
        markers: None,
        nodes: None,
    }
}

fn full_push() -> Push {
    let moved = |name: &str, old, new| BookmarkMove { name: name.into(), old, new };
    Push {
        push_id: Some(PushId(70_000)),
        bundle: Some(Payload::Inline(b"HG20\0\0\0\0".to_vec())),
        changesets: 3,
        tip: Some(changeset(0xaa)),
        heads_added: vec![changeset(0xaa), changeset(0xab)],
        heads_removed: vec![changeset(1)],
        heads: 300,
        bookmarks: vec![
            moved("new", None, Some(changeset(2))),
            moved("moved", Some(changeset(2)), Some(changeset(3))),
            moved("deleted", Some(changeset(3)), None),
        ],
        published: vec![changeset(0xaa)],
        markers: Some(Payload::Inline(vec![1, 0, 255])),
        ..small_push()
    }
}

/// One of each kind at least; the name begins with the kind's.
fn samples() -> BTreeMap<&'static str, Record> {
    let repository = CreationId(1 << 33);
    let blob = |byte| Some(Payload::Blob { digest: Digest([byte; 32]), size: 5_000_000_000 });
    let offsets = |offsets: &[u64]| Offsets { offsets: offsets.iter().map(|offset| Offset(*offset)).collect() };
    let mirror = || "mirror-1".parse().unwrap();
    let inactive = |reason| Record::MirrorInactive(MirrorInactive { mirror: mirror(), reason });
    let created = |settings| {
        let path = "integration/autoland".parse().unwrap();
        Record::RepositoryCreated(RepositoryCreated { path, format: RepositoryFormat::V1, settings })
    };
    let all = |reason: Option<&str>, largest_push_bytes| {
        let settings = MasterSettings { read_only_reason: reason.map(str::to_owned), largest_push_bytes };
        Record::SettingsChanged(SettingsChanged { settings })
    };
    BTreeMap::from([
        (
            "GenerationStarted",
            Record::GenerationStarted(GenerationStarted { master: "ssh-0".parse().unwrap(), time: Timestamp(42) }),
        ),
        ("RepositoryCreated", created(settings())),
        ("RepositoryCreated-plain", created(RepositorySettings::default())),
        ("RepositoryUpdated", Record::RepositoryUpdated(RepositoryUpdated { repository, settings: settings() })),
        ("RepositoryDeleted", Record::RepositoryDeleted(RepositoryDeleted { repository })),
        ("Push", Record::Push(full_push())),
        ("Push-empty", Record::Push(small_push())),
        ("Push-blobs", Record::Push(Push { bundle: blob(7), markers: blob(9), ..full_push() })),
        ("Push-nodes", Record::Push(Push { nodes: Some(Digest([11; 32])), ..full_push() })),
        (
            "Strip",
            Record::Strip(Strip {
                repository,
                changesets: vec![changeset(4), changeset(5)],
                user: "admin".parse().unwrap(),
            }),
        ),
        (
            "CloneBundlesChanged",
            Record::CloneBundlesChanged(CloneBundlesChanged { repository, manifest: "https://x/a.hg B=v2\n".into() }),
        ),
        ("Skip", Record::Skip(Skip { repository, offset: Offset(1 << 34), user: "admin".parse().unwrap() })),
        ("SettingsChanged", all(Some("moving"), None)),
        ("SettingsChanged-largest-push", all(None, Some(5_000_000_000))),
        ("SettingsChanged-plain", all(None, None)),
        ("Released", Record::Released(offsets(&[1, 24, 256, 65_536, 1 << 32]))),
        ("Published", Record::Published(offsets(&[u64::MAX]))),
        ("MirrorActive", Record::MirrorActive(MirrorActive { mirror: mirror() })),
        ("MirrorInactive", inactive(InactiveReason::Lagging)),
        ("MirrorInactive-unreachable", inactive(InactiveReason::Unreachable)),
        ("MirrorInactive-removed", inactive(InactiveReason::Removed)),
        (
            "Unknown",
            // Kind 100, version 1, an array whose first field is a creation id.
            Record::Unknown(UnknownRecord {
                kind: 100,
                version: 1,
                repository: Some(CreationId(17)),
                bytes: vec![100, 1, 0x82, 17, 0xf5],
            }),
        ),
    ])
}

#[test]
fn every_golden_file_is_read_and_written_back_byte_for_byte() {
    let mut samples = samples();
    for (name, record) in &samples {
        let path = folder().join(format!("{name}.record"));
        if std::env::var_os("WRITE_GOLDEN").is_some() && !path.exists() {
            std::fs::write(&path, record.encode()).unwrap();
        }
    }
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let record = Record::decode(&bytes).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert_eq!(hex::encode(record.encode()), hex::encode(&bytes), "{}", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(name.split('-').next(), Some(record.kind()), "{}", path.display());
        // A file without a sample was written by an older version: it need only be read.
        if let Some(sample) = samples.remove(name) {
            assert_eq!(record, sample, "{name} means something else now");
        }
    }
    assert!(samples.is_empty(), "no golden file for {:?}", samples.keys());
}

#[test]
fn every_kind_has_a_golden_file_with_its_code() {
    for (code, name) in Record::KINDS {
        let path = folder().join(format!("{name}.record"));
        let bytes = std::fs::read(&path).unwrap_or_else(|why| panic!("kind {name} needs {}: {why}", path.display()));
        assert_eq!(bytes[..2], [*code, 1], "{name}");
    }
    let mut codes: Vec<u8> = Record::KINDS.iter().map(|kind| kind.0).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Record::KINDS.len(), "two kinds have one code");
}

#[test]
fn a_record_cut_short_is_not_read_as_another() {
    for (name, record) in samples() {
        let bytes = record.encode();
        for length in 0..bytes.len() {
            let cut = Record::decode(&bytes[..length]);
            let harmless = matches!(&cut, Err(_) | Ok(Record::Unknown(_)));
            assert!(harmless || cut.as_ref() == Ok(&record), "{name} cut to {length} is {cut:?}");
        }
    }
}
