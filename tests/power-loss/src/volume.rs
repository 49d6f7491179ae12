//! The mount: what the kernel asks, passed on to the disk.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk::{Answer, Attributes, BLOCK_BYTES, Body, Disk};
use crate::forget::Survivors;

/// The kernel is to ask each time: what it remembered would outlive the power loss.
const TTL: Duration = Duration::ZERO;
/// 16 GiB of blocks, free for ever.
const BLOCKS: u64 = 4 * 1024 * 1024;
const MAX_NAME_BYTES: u32 = 255;

#[derive(Debug)]
pub enum MountError {
    NoDevice(io::Error),
    Refused { place: PathBuf, source: io::Error },
}

impl std::error::Error for MountError {}

impl std::fmt::Display for MountError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MountError::NoDevice(why) => {
                write!(
                    to,
                    "power losses are tested with FUSE: /dev/fuse cannot be opened ({why}); run the tests as root"
                )
            }
            MountError::Refused { place, source } => {
                write!(to, "power losses are tested with FUSE: {} cannot be mounted on ({source})", place.display())
            }
        }
    }
}

/// A mounted volume; unmounted when it is dropped.
pub struct Volume {
    disk: Arc<Mutex<Disk>>,
    place: PathBuf,
    _session: BackgroundSession,
}

impl Volume {
    /// Mounts an empty one on the folder `place`.
    pub fn mount(place: &Path) -> Result<Volume, MountError> {
        let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
        device.map_err(MountError::NoDevice)?;
        let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let disk = Arc::new(Mutex::new(Disk::new(owner)));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("power-loss".into()), MountOption::DefaultPermissions];
        let server = Server { disk: disk.clone(), listings: Mutex::default() };
        let refused = |source| MountError::Refused { place: place.to_owned(), source };
        let session = fuser::spawn_mount(server, place, &config).map_err(refused)?;
        Ok(Volume { disk, place: place.to_owned(), _session: session })
    }

    pub fn place(&self) -> &Path {
        &self.place
    }

    /// From here on every access fails, and nothing changes any more.
    pub fn power_off(&self) {
        self.power_off_after(0);
    }

    /// The same after so many more changes and syncs.
    pub fn power_off_after(&self, changes: u64) {
        lock(&self.disk).power_off_after(changes);
    }

    pub fn has_power(&self) -> bool {
        lock(&self.disk).has_power()
    }

    /// Comes back without what was not synced. Whoever used the volume must have ended.
    pub fn power_on(&self, survivors: Survivors) {
        lock(&self.disk).power_on(survivors);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Who still uses it after a failed test finds it broken; nobody else finds it at all.
        if let Err(error) = rustix::mount::unmount(&self.place, rustix::mount::UnmountFlags::DETACH) {
            eprintln!("{} is still mounted: {error}", self.place.display());
        }
    }
}

type Listing = Arc<Vec<(u64, FileType, OsString)>>;

struct Server {
    disk: Arc<Mutex<Disk>>,
    /// Open folders: who reads one while it changes sees each name once.
    listings: Mutex<(u64, BTreeMap<u64, Listing>)>,
}

/// Whoever panicked while holding it has failed the test anyway.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }

    fn make(&self, request: &Request, at: (INodeNo, &OsStr), body: Body, mode: u32) -> Answer<fuser::FileAttr> {
        self.disk().make((at.0.0, at.1), body, mode, (request.uid(), request.gid()))
    }

    fn list(&self, folder: INodeNo) -> Answer<FileHandle> {
        let listed = Arc::new(self.disk().list(folder.0)?);
        let mut listings = lock(&self.listings);
        listings.0 += 1;
        let handle = listings.0;
        listings.1.insert(handle, listed);
        Ok(FileHandle(handle))
    }
}

fn done(reply: ReplyEmpty, answer: Answer<()>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn named(reply: ReplyEntry, answer: Answer<fuser::FileAttr>) {
    match answer {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn described(reply: ReplyAttr, answer: Answer<fuser::FileAttr>) {
    match answer {
        Ok(attributes) => reply.attr(&TTL, &attributes),
        Err(error) => reply.error(error),
    }
}

fn special(mode: u32) -> Answer<Body> {
    match rustix::fs::FileType::from_raw_mode(mode) {
        rustix::fs::FileType::RegularFile => Ok(Body::File(Default::default())),
        rustix::fs::FileType::Socket => Ok(Body::Other(FileType::Socket)),
        rustix::fs::FileType::Fifo => Ok(Body::Other(FileType::NamedPipe)),
        _ => Err(Errno::EPERM),
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        named(reply, self.disk().lookup(parent.0, name));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        described(reply, self.disk().attributes(ino.0));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let modified = mtime.map(|time| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => SystemTime::now(),
        });
        described(reply, self.disk().change_attributes(ino.0, &Attributes { mode, uid, gid, size, modified }));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.disk().target(ino.0) {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        named(reply, special(mode).and_then(|body| self.make(request, (parent, name), body, mode & !umask)));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        named(reply, self.make(request, (parent, name), Body::Folder(Default::default()), mode & !umask));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.disk().remove((parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.disk().remove((parent.0, name)));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        named(reply, self.make(request, (parent, name), Body::Link(target.to_owned()), 0o777));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            return reply.error(Errno::EINVAL);
        }
        done(reply, self.disk().rename((parent.0, name), (newparent.0, newname), flags.is_empty()));
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        named(reply, self.disk().link(ino.0, (newparent.0, newname)));
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.disk().attributes(ino.0) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().read(ino.0, offset, size) {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let length = u32::try_from(data.len()).map_err(|_| Errno::EFBIG);
        match length.and_then(|length| self.disk().write(ino.0, offset, data).map(|()| length)) {
            Ok(length) => reply.written(length),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(reply, self.disk().sync_file(ino.0));
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.list(ino) {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some(listing) = lock(&self.listings).1.get(&fh.0).cloned() else { return reply.error(Errno::EBADF) };
        let own = [".", ".."].map(|name| (ino.0, FileType::Directory, OsString::from(name)));
        let all = own.iter().chain(listing.iter()).zip(1..);
        for ((number, kind, name), next) in all.skip_while(|(_, next)| *next <= offset) {
            if reply.add(INodeNo(*number), next, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        lock(&self.listings).1.remove(&fh.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(reply, self.disk().sync_folder(ino.0));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_BYTES, MAX_NAME_BYTES, BLOCK_BYTES);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(request, (parent, name), Body::File(Default::default()), mode & !umask) {
            Ok(attributes) => reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }
}
