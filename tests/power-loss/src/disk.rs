//! The whole disk: what system calls do to it, and what a power loss leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, INodeNo};

use crate::content::Content;
use crate::folder::{self, Change, Entry, Folder, Names, Number};
use crate::forget::{Choice, Survivors};

pub const BLOCK_BYTES: u32 = 4096;

pub type Answer<T> = Result<T, Errno>;

pub enum Body {
    File(Content),
    Folder(Folder),
    Link(PathBuf),
    /// A socket or a pipe: only its name is here.
    Other(FileType),
}

struct Node {
    body: Body,
    mode: u32,
    owner: (u32, u32),
    modified: SystemTime,
    changed: SystemTime,
    links: u32,
}

/// Attributes that `setattr` may change at once.
#[derive(Default)]
pub struct Attributes {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub modified: Option<SystemTime>,
}

pub struct Disk {
    nodes: BTreeMap<Number, Node>,
    /// Changes of names that no folder's fsync has kept, in their order.
    unsynced: Vec<Change>,
    next: Number,
    powered: bool,
    /// Changes and syncs until the power goes.
    left: Option<u64>,
}

impl Disk {
    pub fn new(owner: (u32, u32)) -> Disk {
        let root = Node::new(Body::Folder(Folder::default()), 0o755, owner);
        Disk {
            nodes: BTreeMap::from([(INodeNo::ROOT.0, root)]),
            unsynced: Vec::new(),
            next: INodeNo::ROOT.0 + 1,
            powered: true,
            left: None,
        }
    }

    /// After so many more changes and syncs every call fails, and nothing changes any more.
    pub fn power_off_after(&mut self, changes: u64) {
        self.powered &= changes > 0;
        self.left = Some(changes);
    }

    pub fn has_power(&self) -> bool {
        self.powered
    }

    /// Counts a change or a sync that is about to be made.
    fn count(&mut self) -> Answer<()> {
        if let Some(left) = &mut self.left {
            self.powered &= *left > 0;
            *left = left.saturating_sub(1);
        }
        if self.powered { Ok(()) } else { Err(Errno::EIO) }
    }

    /// Comes back with what a power loss has left.
    pub fn power_on(&mut self, survivors: Survivors) {
        let mut choice = Choice::new(survivors);
        let kept = choice.first(self.unsynced.len());
        let lost = self.unsynced.split_off(kept);
        drop(lost);
        let kept = std::mem::take(&mut self.unsynced);
        self.keep(&kept);
        for node in self.nodes.values_mut() {
            match &mut node.body {
                Body::File(content) => content.forget(|| choice.page()),
                Body::Folder(folder) => folder.now.clone_from(&folder.durable),
                Body::Link(_) | Body::Other(_) => {}
            }
        }
        self.drop_unnamed();
        (self.powered, self.left) = (true, None);
    }

    fn keep(&mut self, changes: &[Change]) {
        for entry in changes.iter().flat_map(|change| &change.0) {
            if let Some(Body::Folder(folder)) = self.nodes.get_mut(&entry.folder).map(|node| &mut node.body) {
                entry.make(&mut folder.durable);
            }
        }
    }

    /// Drops what no name leads to; counts the links of the rest.
    fn drop_unnamed(&mut self) {
        let (mut links, mut found) = (BTreeMap::<Number, u32>::new(), vec![INodeNo::ROOT.0]);
        let mut seen = BTreeSet::new();
        while let Some(number) = found.pop() {
            *links.entry(number).or_default() += 1;
            if seen.insert(number)
                && let Some(Body::Folder(folder)) = self.nodes.get(&number).map(|node| &node.body)
            {
                found.extend(folder.now.values());
            }
        }
        self.nodes.retain(|number, _| links.contains_key(number));
        for (number, node) in &mut self.nodes {
            node.links = links.get(number).copied().unwrap_or_default();
        }
    }

    fn node(&self, number: Number) -> Answer<&Node> {
        if !self.powered {
            return Err(Errno::EIO);
        }
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    fn node_mut(&mut self, number: Number) -> Answer<&mut Node> {
        if !self.powered {
            return Err(Errno::EIO);
        }
        self.nodes.get_mut(&number).ok_or(Errno::ENOENT)
    }

    fn names(&self, folder: Number) -> Answer<&Names> {
        match &self.node(folder)?.body {
            Body::Folder(folder) => Ok(&folder.now),
            Body::File(_) | Body::Link(_) | Body::Other(_) => Err(Errno::ENOTDIR),
        }
    }

    fn content(&mut self, number: Number) -> Answer<&mut Content> {
        match &mut self.node_mut(number)?.body {
            Body::File(content) => Ok(content),
            Body::Folder(_) => Err(Errno::EISDIR),
            Body::Link(_) | Body::Other(_) => Err(Errno::EINVAL),
        }
    }

    fn find(&self, folder: Number, name: &OsStr) -> Answer<Number> {
        self.names(folder)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub fn lookup(&self, folder: Number, name: &OsStr) -> Answer<FileAttr> {
        self.attributes(self.find(folder, name)?)
    }

    pub fn attributes(&self, number: Number) -> Answer<FileAttr> {
        self.node(number).map(|node| node.attributes(number))
    }

    pub fn change_attributes(&mut self, number: Number, to: &Attributes) -> Answer<FileAttr> {
        if let Some(size) = to.size {
            self.count()?;
            self.content(number)?.resize(length(size)?);
        }
        let node = self.node_mut(number)?;
        node.mode = to.mode.map_or(node.mode, |mode| mode & 0o7777);
        node.owner = (to.uid.unwrap_or(node.owner.0), to.gid.unwrap_or(node.owner.1));
        node.changed = SystemTime::now();
        if to.size.is_some() {
            node.modified = node.changed;
        }
        node.modified = to.modified.unwrap_or(node.modified);
        self.attributes(number)
    }

    pub fn make(&mut self, at: (Number, &OsStr), body: Body, mode: u32, owner: (u32, u32)) -> Answer<FileAttr> {
        if self.names(at.0)?.contains_key(at.1) {
            return Err(Errno::EEXIST);
        }
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node::new(body, mode & 0o7777, owner));
        self.rename_all(vec![entry(at, Some(number))])?;
        self.attributes(number)
    }

    pub fn link(&mut self, number: Number, to: (Number, &OsStr)) -> Answer<FileAttr> {
        if self.names(to.0)?.contains_key(to.1) {
            return Err(Errno::EEXIST);
        }
        self.node_mut(number)?.links += 1;
        self.rename_all(vec![entry(to, Some(number))])?;
        self.attributes(number)
    }

    pub fn remove(&mut self, at: (Number, &OsStr)) -> Answer<()> {
        let number = self.find(at.0, at.1)?;
        if matches!(self.names(number), Ok(names) if !names.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.rename_all(vec![entry(at, None)])?;
        self.unlinked(number)
    }

    pub fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr), replaces: bool) -> Answer<()> {
        let number = self.find(from.0, from.1)?;
        let old = self.names(to.0)?.get(to.1).copied();
        if old == Some(number) {
            return Ok(());
        }
        match old {
            Some(_) if !replaces => return Err(Errno::EEXIST),
            Some(old) if matches!(self.names(old), Ok(names) if !names.is_empty()) => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.rename_all(vec![entry(from, None), entry(to, Some(number))])?;
        old.map_or(Ok(()), |old| self.unlinked(old))
    }

    fn rename_all(&mut self, entries: Vec<Entry>) -> Answer<()> {
        self.count()?;
        let now = SystemTime::now();
        for entry in &entries {
            let node = self.node_mut(entry.folder)?;
            (node.modified, node.changed) = (now, now);
            match &mut node.body {
                Body::Folder(folder) => entry.make(&mut folder.now),
                Body::File(_) | Body::Link(_) | Body::Other(_) => return Err(Errno::ENOTDIR),
            }
        }
        self.unsynced.push(Change(entries));
        Ok(())
    }

    /// Keeps it until the power goes: it may be open, and may have its name again afterwards.
    fn unlinked(&mut self, number: Number) -> Answer<()> {
        let node = self.node_mut(number)?;
        node.links = node.links.saturating_sub(1);
        node.changed = SystemTime::now();
        Ok(())
    }

    pub fn target(&self, number: Number) -> Answer<&Path> {
        match &self.node(number)?.body {
            Body::Link(target) => Ok(target),
            Body::File(_) | Body::Folder(_) | Body::Other(_) => Err(Errno::EINVAL),
        }
    }

    pub fn list(&self, folder: Number) -> Answer<Vec<(Number, FileType, std::ffi::OsString)>> {
        let listed =
            |(name, number): (&std::ffi::OsString, &Number)| Ok((*number, self.node(*number)?.kind(), name.clone()));
        self.names(folder)?.iter().map(listed).collect()
    }

    pub fn read(&mut self, number: Number, at: u64, bytes: u32) -> Answer<&[u8]> {
        Ok(self.content(number)?.read(length(at)?, length(bytes.into())?))
    }

    pub fn write(&mut self, number: Number, at: u64, bytes: &[u8]) -> Answer<()> {
        self.count()?;
        self.content(number)?.write(length(at)?, bytes);
        let node = self.node_mut(number)?;
        node.modified = SystemTime::now();
        node.changed = node.modified;
        Ok(())
    }

    pub fn sync_file(&mut self, number: Number) -> Answer<()> {
        self.count()?;
        self.content(number)?.sync();
        Ok(())
    }

    pub fn sync_folder(&mut self, number: Number) -> Answer<()> {
        self.count()?;
        self.names(number)?;
        let synced = folder::synced(&mut self.unsynced, number);
        self.keep(&synced);
        Ok(())
    }
}

impl Node {
    fn new(body: Body, mode: u32, owner: (u32, u32)) -> Node {
        let now = SystemTime::now();
        Node { body, mode, owner, modified: now, changed: now, links: 1 }
    }

    fn kind(&self) -> FileType {
        match &self.body {
            Body::File(_) => FileType::RegularFile,
            Body::Folder(_) => FileType::Directory,
            Body::Link(_) => FileType::Symlink,
            Body::Other(kind) => *kind,
        }
    }

    fn attributes(&self, number: Number) -> FileAttr {
        let size = match &self.body {
            Body::File(content) => content.len(),
            Body::Link(target) => target.as_os_str().len(),
            Body::Folder(_) | Body::Other(_) => 0,
        };
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: self.modified,
            mtime: self.modified,
            ctime: self.changed,
            crtime: self.changed,
            kind: self.kind(),
            perm: u16::try_from(self.mode).unwrap_or(0o7777),
            nlink: self.links,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        }
    }
}

fn entry((folder, name): (Number, &OsStr), means: Option<Number>) -> Entry {
    Entry { folder, name: name.to_owned(), means }
}

fn length(bytes: u64) -> Answer<usize> {
    usize::try_from(bytes).map_err(|_| Errno::EFBIG)
}
