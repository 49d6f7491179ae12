//! Opening a log's directory: everything is read and checked once, and the tail that a crash tore is cut off.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};

use rustix::fs::{Advice, FlockOperation};

use super::*;
use crate::generations::Generations;
use crate::open_error::OpenError;
use crate::scan::{Damage, Reason, was_synced};
use crate::segment::{FORMAT_VERSION, HeaderError, parse_file_name};

const VERSION_FILE: &str = "version";
const READ_BYTES: usize = 256 * 1024;

impl Storage {
    /// Opens or creates. What is found afterwards is on disk, also after a crash of the machine.
    /// `alone`: no other process may have it open.
    pub fn open(
        directory: &Path,
        name: LogName,
        segment_bytes: u64,
        alone: bool,
    ) -> Result<(Storage, Generations), OpenError> {
        let io = |why| OpenError::Io { path: directory.to_owned(), why };
        std::fs::create_dir_all(directory).map_err(io)?;
        let folder = File::open(directory).map_err(io)?;
        if alone {
            lock(&folder, directory)?;
        }
        let firsts = list(directory).map_err(io)?;
        if firsts.is_empty() {
            keep_name(directory).map_err(io)?;
        }
        check_version(directory, firsts.is_empty())?;
        let mut segments = Vec::new();
        let mut generations = Generations::empty(Offset(1), Generation(0));
        for (at, first) in firsts.iter().enumerate() {
            let path = directory.join(file_name(*first));
            let until = match firsts.get(at + 1) {
                Some(next) if !alone => overtaken(&path, &directory.join(file_name(*next)), *next),
                _ => None,
            };
            let found = read_segment(&path, name, *first, at + 1 == firsts.len(), until)?;
            if found.starts_anew || at == 0 {
                remove(directory, &folder, &mut segments).map_err(io)?;
                generations = Generations::empty(*first, found.segment.before);
            }
            check_chain(&path, &generations, &found.segment)?;
            (found.segment.first.0..found.segment.next.0).for_each(|_| generations.push(found.segment.generation));
            segments.push(found.segment);
        }
        if segments.is_empty() {
            segments.push(begin(directory, &folder, name)?);
        }
        folder.sync_all().map_err(io)?;
        let Some(last) = segments.last().cloned() else { return Err(io(ErrorKind::NotFound.into())) };
        let file = open_to_write(&last.path(directory)).map_err(io)?;
        let index = Arc::new(RwLock::new(Index { segments }));
        let directory = directory.to_owned();
        let (buffer, statistics) = (Vec::new(), Arc::default());
        let storage = Storage { directory, folder, name, segment_bytes, index, file, last, buffer, statistics };
        Ok((storage, generations))
    }
}

fn lock(folder: &File, directory: &Path) -> Result<(), OpenError> {
    rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive).map_err(|why| match why {
        rustix::io::Errno::WOULDBLOCK => OpenError::InUse { path: directory.to_owned() },
        other => OpenError::Io { path: directory.to_owned(), why: other.into() },
    })
}

/// A log's folder is new together with the one that it is in.
fn keep_name(directory: &Path) -> io::Result<()> {
    let above = directory.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty());
    above.map(File::open).try_for_each(|above| above?.sync_all())
}

/// First offsets of the segment files, ascending. Files that never became segments are removed.
fn list(directory: &Path) -> io::Result<Vec<Offset>> {
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(NEW_EXTENSION) {
            std::fs::remove_file(entry.path())?;
        } else if let Some(first) = parse_file_name(name) {
            firsts.push(first);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn check_version(directory: &Path, empty: bool) -> Result<(), OpenError> {
    let path = directory.join(VERSION_FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(why) if why.kind() == ErrorKind::NotFound && empty => {
            return write_version(&path).map_err(|why| OpenError::Io { path, why });
        }
        Err(why) => return Err(OpenError::Io { path, why }),
        Ok(text) => text,
    };
    match text.trim().parse::<u16>() {
        Ok(1..=FORMAT_VERSION) => Ok(()),
        // Torn by a crash at the very first start.
        Err(_) if text.trim().is_empty() && empty => write_version(&path).map_err(|why| OpenError::Io { path, why }),
        _ => {
            let found = text.trim().chars().take(20).collect();
            Err(OpenError::NewerFormat { path: directory.to_owned(), found, known: FORMAT_VERSION })
        }
    }
}

fn write_version(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    writeln!(file, "{FORMAT_VERSION}")?;
    file.sync_all()
}

fn begin(directory: &Path, folder: &File, name: LogName) -> Result<Segment, OpenError> {
    let none = Generation(0);
    let header = Header { log: name, starts_anew: false, generation: none, first: Offset(1), generation_before: none };
    match create(directory, folder, &header) {
        Ok((_, segment)) => Ok(segment),
        Err(Trouble::Fatal(why)) => Err(OpenError::Io { path: directory.to_owned(), why }),
        Err(Trouble::Refused(why)) => {
            Err(OpenError::Io { path: directory.to_owned(), why: io::Error::other(why.to_string()) })
        }
    }
}

fn check_chain(path: &Path, before: &Generations, segment: &Segment) -> Result<(), OpenError> {
    let expected = before.end().next();
    if segment.first != expected {
        return Err(OpenError::Missing { path: path.to_owned(), expected, found: segment.first });
    }
    let backwards = segment.generation < before.last();
    if backwards || segment.before != before.last() {
        let (expected, found) = (before.last(), if backwards { segment.generation } else { segment.before });
        let damage = Damage { position: 0, reason: Reason::Generation { expected, found } };
        return Err(OpenError::Damaged { path: path.to_owned(), damage });
    }
    Ok(())
}

/// Leftovers of a log that has begun anew.
fn remove(directory: &Path, folder: &File, segments: &mut Vec<Segment>) -> io::Result<()> {
    for segment in segments.drain(..) {
        std::fs::remove_file(segment.path(directory))?;
    }
    folder.sync_all()
}

struct Found {
    segment: Segment,
    starts_anew: bool,
}

/// Where other processes write the log, too, an old master may have written behind what a later generation has taken
/// over, without acknowledging it. Where the later one begins, if it is one.
fn overtaken(path: &Path, next: &Path, begins: Offset) -> Option<Offset> {
    let header = |path: &Path| Some(Scanner::begin(File::open(path).ok()?).ok()?.0);
    let (this, next) = (header(path)?, header(next)?);
    (!next.starts_anew && next.generation > this.generation).then_some(begins)
}

/// Reads a segment. Of one that another has overtaken, nothing is read from `until` on.
fn read_segment(
    path: &Path,
    name: LogName,
    first: Offset,
    last: bool,
    until: Option<Offset>,
) -> Result<Found, OpenError> {
    let io = |why| OpenError::Io { path: path.to_owned(), why };
    let damaged = |damage| OpenError::Damaged { path: path.to_owned(), damage };
    let file = open_to_write(path).map_err(io)?;
    if last {
        // After a failed fsync the kernel may hold pages that never reached the disk and call them clean: write what
        // is dirty, then forget the rest, so that what is read here is what the disk holds.
        file.sync_all().map_err(io)?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).map_err(|why| io(why.into()))?;
    }
    let modified = file.metadata().and_then(|data| data.modified()).map_err(io)?;
    let (header, mut scanner) = match Scanner::begin(BufReader::with_capacity(READ_BYTES, &file)) {
        Err(Damage { reason: Reason::Header(HeaderError::Newer(found)), .. }) => {
            let (path, found) = (path.to_owned(), found.to_string());
            return Err(OpenError::NewerFormat { path, found, known: FORMAT_VERSION });
        }
        other => other.map_err(damaged)?,
    };
    if header.log != name {
        return Err(OpenError::OtherLog { path: path.to_owned(), found: header.log, expected: name });
    }
    if header.first != first {
        let reason = Reason::Offset { expected: first, found: header.first };
        return Err(damaged(Damage { position: 0, reason }));
    }
    let mut segment = Segment::empty(&header, modified);
    while until.is_none_or(|until| scanner.expected() < until) {
        let Some(frame) = scanner.next() else { break };
        match frame {
            Ok(frame) => segment.grow(frame.entry.bytes.len()),
            Err(damage) if last && is_torn(&file, &damage, &segment).map_err(io)? => {
                tracing::warn!(file = %path.display(), position = damage.position, reason = %damage.reason,
                    "cut the end of the log that a crash left unfinished; it was never acknowledged");
                file.set_len(damage.position).and_then(|()| file.sync_all()).map_err(io)?;
            }
            Err(damage) => return Err(damaged(damage)),
        }
    }
    if until == Some(segment.next) && file.metadata().map_err(io)?.len() > segment.length {
        tracing::warn!(file = %path.display(), from = %segment.next,
            "cut what an old master wrote behind the beginning of a later generation; it was never acknowledged");
        file.set_len(segment.length).and_then(|()| file.sync_all()).map_err(io)?;
    }
    Ok(Found { segment, starts_anew: header.starts_anew })
}

/// Whether a bad frame in the last segment was never on disk as a whole, so that cutting it loses nothing.
fn is_torn(file: &File, damage: &Damage, segment: &Segment) -> io::Result<bool> {
    if let Reason::Unreadable(_) = damage.reason {
        return Ok(false);
    }
    let mut rest = Vec::new();
    ReadFrom { file, position: damage.position }.read_to_end(&mut rest)?;
    Ok(!was_synced(&rest, segment.next, segment.generation))
}
