//! Looking at a log's directory without touching it: `hgd log dump` and `hgd log verify`. Works beside a running
//! instance, where the very end may look torn.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use protocol::{Digest, Entry, Generation, Offset, Payload, Record};

use crate::blobs::{Blobs, digest_of};
use crate::scan::{Damage, Frame, Reason, Scanner};
use crate::segment::{Header, parse_file_name};

const READ_BYTES: usize = 256 * 1024;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("{file} {damage}")]
    Damaged { file: PathBuf, damage: Damage },
    #[error("{file} begins with record {found} where record {expected} belongs")]
    Gap { file: PathBuf, expected: Offset, found: Offset },
    #[error("{file} is of generation {found} behind generation {last}")]
    Backwards { file: PathBuf, last: Generation, found: Generation },
    #[error("{file}, record {offset}, cannot be decoded: {why}")]
    Undecodable { file: PathBuf, offset: Offset, why: String },
    #[error("{file}, record {offset}, is of kind {kind} version {version}, which this program does not know")]
    UnknownKind { file: PathBuf, offset: Offset, kind: u8, version: u8 },
    #[error("{file}, record {offset}, names blob {digest}, which is not there")]
    BlobMissing { file: PathBuf, offset: Offset, digest: Digest },
    #[error("{file}, record {offset}, names blob {digest}, whose file has other bytes")]
    BlobDamaged { file: PathBuf, offset: Offset, digest: Digest },
}

/// Item of a directory, in order; reading goes on with the next segment behind damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Segment { file: PathBuf, header: Header },
    Entry { file: PathBuf, position: u64, entry: Entry },
    Finding(Finding),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub segments: u64,
    pub records: u64,
    /// Bytes of records.
    pub bytes: u64,
    pub blobs: u64,
    pub first: Option<Offset>,
    pub last: Option<Offset>,
    pub findings: u64,
}

/// Yields everything in the directory. An error means that the directory itself cannot be read.
pub fn read(directory: &Path) -> io::Result<Reader> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).and_then(parse_file_name).is_some() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(Reader { files: files.into_iter(), open: None, end: None, pending: VecDeque::new() })
}

pub struct Reader {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<(PathBuf, Scanner<BufReader<File>>)>,
    /// The next offset, and the last generation; None where damage hides them.
    end: Option<(Offset, Generation)>,
    pending: VecDeque<Item>,
}

impl Iterator for Reader {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Some(item);
            }
            let Some((file, scanner)) = &mut self.open else {
                let file = self.files.next()?;
                self.begin(file);
                continue;
            };
            match scanner.next() {
                Some(Ok(frame)) => {
                    let Frame { position, entry, .. } = frame;
                    self.end = Some((entry.offset.next(), entry.generation));
                    return Some(Item::Entry { file: file.clone(), position, entry });
                }
                Some(Err(damage)) => {
                    self.end = None;
                    return Some(Item::Finding(Finding::Damaged { file: file.clone(), damage }));
                }
                None => self.open = None,
            }
        }
    }
}

impl Reader {
    fn begin(&mut self, file: PathBuf) {
        let opened = File::open(&file);
        if opened.as_ref().is_err_and(|why| why.kind() == io::ErrorKind::NotFound) {
            // Trimmed since the directory was listed.
            self.end = None;
            return;
        }
        let opened = opened
            .map_err(|why| Damage { position: 0, reason: Reason::Unreadable(why.to_string()) })
            .and_then(|opened| Scanner::begin(BufReader::with_capacity(READ_BYTES, opened)));
        let (header, scanner) = match opened {
            Ok(found) => found,
            Err(damage) => {
                self.end = None;
                return self.pending.push_back(Item::Finding(Finding::Damaged { file, damage }));
            }
        };
        self.check_chain(&file, &header);
        self.end = Some((header.first, header.generation_before));
        self.pending.push_back(Item::Segment { file: file.clone(), header });
        self.open = Some((file, scanner));
    }

    fn check_chain(&mut self, file: &Path, header: &Header) {
        let found = header.first;
        let named = file.file_name().and_then(|name| name.to_str()).and_then(parse_file_name).unwrap_or_default();
        let before = self.end.filter(|_| !header.starts_anew);
        let wrong = |expected| Finding::Gap { file: file.to_owned(), expected, found };
        if named != found {
            self.pending.push_back(Item::Finding(wrong(named)));
        }
        let Some((expected, last)) = before else { return };
        if expected != found {
            self.pending.push_back(Item::Finding(wrong(expected)));
        }
        let lower = header.generation.min(header.generation_before);
        if lower < last || header.generation < header.generation_before {
            let file = file.to_owned();
            self.pending.push_back(Item::Finding(Finding::Backwards { file, last, found: lower }));
        }
    }
}

/// Reads all of it, also the blobs that the records name, and hands every finding to `report`.
pub fn verify(directory: &Path, blobs: Option<&Blobs>, mut report: impl FnMut(&Finding)) -> io::Result<Summary> {
    let mut summary = Summary::default();
    for item in read(directory)? {
        let findings = match item {
            Item::Segment { .. } => {
                summary.segments += 1;
                Vec::new()
            }
            Item::Finding(finding) => vec![finding],
            Item::Entry { file, entry, .. } => {
                summary.records += 1;
                summary.bytes += entry.bytes.len() as u64;
                summary.first = summary.first.or(Some(entry.offset));
                summary.last = Some(entry.offset);
                check_record(&file, &entry, blobs, &mut summary.blobs)
            }
        };
        summary.findings += findings.len() as u64;
        findings.iter().for_each(&mut report);
    }
    Ok(summary)
}

fn check_record(file: &Path, entry: &Entry, blobs: Option<&Blobs>, seen: &mut u64) -> Vec<Finding> {
    let (file, offset) = (file.to_owned(), entry.offset);
    let push = match entry.record() {
        Err(why) => return vec![Finding::Undecodable { file, offset, why: why.to_string() }],
        Ok(Record::Unknown(unknown)) => {
            let (kind, version) = (unknown.kind, unknown.version);
            return vec![Finding::UnknownKind { file, offset, kind, version }];
        }
        Ok(Record::Push(push)) => push,
        Ok(_) => return Vec::new(),
    };
    let Some(blobs) = blobs else { return Vec::new() };
    let mut findings = Vec::new();
    for payload in [push.bundle, push.markers].into_iter().flatten() {
        let Payload::Blob { digest, size } = payload else { continue };
        *seen += 1;
        let found = match blobs.open_blob(digest) {
            Ok(Some(blob)) => digest_of(blob).ok(),
            Ok(None) | Err(_) => {
                findings.push(Finding::BlobMissing { file: file.clone(), offset, digest });
                continue;
            }
        };
        if found != Some((digest, size)) {
            findings.push(Finding::BlobDamaged { file: file.clone(), offset, digest });
        }
    }
    findings
}
