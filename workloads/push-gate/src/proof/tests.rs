use super::*;

/// A bundle2 whose changegroup has these nodes, in chunks of `chunk` bytes.
fn bundle(version: &[u8], header: usize, nodes: &[u8], chunk: usize) -> Vec<u8> {
    let mut changes = Vec::new();
    for node in nodes {
        let delta = vec![b'd'; usize::from(*node)];
        changes.extend(u32::try_from(4 + header + delta.len()).unwrap().to_be_bytes());
        changes.extend([*node; NODE_BYTES]);
        changes.extend(vec![0; header - NODE_BYTES]);
        changes.extend(delta);
    }
    changes.extend([0; 4]);
    let mut part = vec![11];
    part.extend(b"changegroup");
    part.extend([0, 0, 0, 0, 1, 1, 7, 2, 12, 1]);
    part.extend([b"version", version, b"nbchangesets", b"9"].concat());
    let mut bytes = b"HG20\0\0\0\0".to_vec();
    bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
    bytes.extend(part);
    for piece in changes.chunks(chunk) {
        bytes.extend(u32::try_from(piece.len()).unwrap().to_be_bytes());
        bytes.extend(piece);
    }
    bytes.extend([0; 8]);
    bytes
}

fn claim(nodes: &[u8]) -> Claim {
    let all: Vec<u8> = nodes.iter().flat_map(|node| [*node; NODE_BYTES]).collect();
    Claim {
        changesets: nodes.len() as u64,
        tip: nodes.last().map(|node| ChangesetId([*node; NODE_BYTES])),
        nodes: Some(Digest(Sha256::digest(all).into())),
    }
}

#[test]
fn a_bundle_brings_exactly_the_changesets_of_its_record_in_their_order() {
    for (version, header) in [(b"01", 80), (b"02", 100), (b"03", 102)] {
        for chunk in [1, 7, 4096] {
            let bytes = bundle(version, header, &[1, 2, 3], chunk);
            prove(claim(&[1, 2, 3]), Some(bytes.as_slice())).unwrap();
            for others in [&[1, 2][..], &[1, 3, 2], &[1, 2, 4], &[1, 2, 3, 4]] {
                assert!(prove(claim(others), Some(bytes.as_slice())).is_err(), "{others:?}");
            }
        }
    }
    let nothing = Claim { changesets: 0, tip: None, nodes: None };
    prove(nothing, None::<&[u8]>).unwrap();
    assert!(prove(claim(&[1]), None::<&[u8]>).is_err());
    assert!(prove(nothing, Some(bundle(b"02", 100, &[], 9).as_slice())).is_err());
}

#[test]
fn what_is_no_bundle_of_ours_is_told_as_such_wherever_it_ends() {
    let whole = bundle(b"02", 100, &[1, 2], 50);
    // After the changesets nothing is read.
    let needed = whole.len() - 8;
    for length in 0..needed {
        assert!(prove(claim(&[1, 2]), Some(&whole[..length])).is_err(), "{length}");
    }
    let changed = |place: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[place] = byte;
        prove(claim(&[1, 2]), Some(bytes.as_slice())).unwrap_err().to_string()
    };
    assert_eq!(changed(0, b'X'), "it is not a bundle2");
    assert!(changed(7, 1).contains("parameters"));
    assert!(changed(8, 1).contains("too long"));
    assert!(changed(13, b'x').contains("not a changegroup"));
    assert!(changed(42, b'9').contains("unknown version"), "{}", changed(42, b'9'));
}
