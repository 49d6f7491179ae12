//! Whether a bundle brings exactly the changesets that its record says, read from the bundle itself: what is in the
//! log must be applicable wherever the repository is as it was here. Formats: `hg help internals.bundle2` and
//! `internals.changegroups`.

use std::io::{self, BufRead, Read};

use protocol::{ChangesetId, Digest};
use sha2::{Digest as _, Sha256};

/// Claim that a record makes of its bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub changesets: u64,
    pub tip: Option<ChangesetId>,
    pub nodes: Option<Digest>,
}

const NODE_BYTES: usize = 20;
/// A longer header of a part is none of ours.
const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// Reads the bundle as far as its changesets go. The error says what is amiss.
pub fn prove(claim: Claim, bundle: Option<impl BufRead>) -> io::Result<()> {
    let none = Claim { changesets: 0, tip: None, nodes: None };
    match bundle {
        None if claim == none => Ok(()),
        None => Err(unfit("changesets are announced, and no bundle brings them")),
        Some(_) if claim.changesets == 0 => Err(unfit("a bundle comes without changesets")),
        Some(bundle) => {
            let found = read(bundle)?;
            if found == claim { Ok(()) } else { Err(unfit(&format!("{found:?} is in the bundle of {claim:?}"))) }
        }
    }
}

/// Reads what a bundle brings, as far as its changesets go.
pub fn read(mut bundle: impl BufRead) -> io::Result<Claim> {
    if take::<4>(&mut bundle)? != *b"HG20" {
        return Err(unfit("it is not a bundle2"));
    }
    if number(&mut bundle)? != 0 {
        return Err(unfit("a bundle with parameters, such as a compressed one, is not for the log"));
    }
    let version = part(&mut bundle)?;
    let header = match version.as_slice() {
        b"01" => 4 * NODE_BYTES,
        b"02" => 5 * NODE_BYTES,
        b"03" => 5 * NODE_BYTES + 2,
        _ => return Err(unfit("its changegroup is of an unknown version")),
    };
    let mut changes = Payload { bundle, left: 0 };
    let (mut count, mut hash, mut tip) = (0, Sha256::new(), None);
    loop {
        let length = number(&mut changes)? as usize;
        if length == 0 {
            break;
        }
        let rest = length.checked_sub(4 + header).ok_or_else(|| unfit("a chunk is shorter than its header"))?;
        let node = take::<NODE_BYTES>(&mut changes)?;
        let skipped = (header - NODE_BYTES + rest) as u64;
        if io::copy(&mut changes.by_ref().take(skipped), &mut io::sink())? != skipped {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hash.update(node);
        count += 1;
        tip = Some(ChangesetId(node));
    }
    Ok(Claim { changesets: count, tip, nodes: Some(Digest(hash.finalize().into())) })
}

/// The header of the first part, which is the changegroup; answers its version.
fn part(bundle: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let length = number(bundle)?;
    if length > MAX_HEADER_BYTES {
        return Err(unfit("the header of a part is too long"));
    }
    let mut header = vec![0; length as usize];
    bundle.read_exact(&mut header)?;
    let mut rest = header.as_slice();
    let kind = word(&mut rest)?;
    if !kind.eq_ignore_ascii_case(b"changegroup") {
        return Err(unfit("its first part is not a changegroup"));
    }
    number(&mut rest)?;
    let counts = take::<2>(&mut rest)?;
    let sizes = (0..usize::from(counts[0]) + usize::from(counts[1])).map(|_| take::<2>(&mut rest));
    let sizes = sizes.collect::<io::Result<Vec<[u8; 2]>>>()?;
    for [key, value] in sizes {
        let (mut name, mut text) = (vec![0; usize::from(key)], vec![0; usize::from(value)]);
        rest.read_exact(&mut name)?;
        rest.read_exact(&mut text)?;
        if name == b"version" {
            return Ok(text);
        }
    }
    Ok(b"01".to_vec())
}

fn word(bytes: &mut &[u8]) -> io::Result<Vec<u8>> {
    let [length] = take::<1>(bytes)?;
    let mut word = vec![0; usize::from(length)];
    bytes.read_exact(&mut word)?;
    Ok(word)
}

fn take<const N: usize>(bytes: &mut impl Read) -> io::Result<[u8; N]> {
    let mut taken = [0; N];
    bytes.read_exact(&mut taken)?;
    Ok(taken)
}

fn number(bytes: &mut impl Read) -> io::Result<u32> {
    take(bytes).map(u32::from_be_bytes)
}

/// A part's bytes, which come in chunks.
struct Payload<R> {
    bundle: R,
    /// Left of the current chunk.
    left: usize,
}

impl<R: BufRead> Read for Payload<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let length = number(&mut self.bundle)?;
            // Negative lengths are interruptions by another part, which no record has.
            self.left =
                i32::try_from(length).map_err(|_| unfit("its changegroup is interrupted"))?.unsigned_abs() as usize;
        }
        let most = into.len().min(self.left);
        let read = self.bundle.read(&mut into[..most])?;
        self.left -= read;
        Ok(read)
    }
}

fn unfit(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests;
