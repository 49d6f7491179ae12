//! Volume tests: what survives, by system calls on a real mount.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use power_loss::{Survivors, Volume};
use tempfile::TempDir;

/// The mount goes before the folder that it is on.
struct Mounted {
    volume: Volume,
    folder: TempDir,
}

impl Mounted {
    fn new() -> Mounted {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::mount(folder.path()).unwrap_or_else(|error| panic!("{error}"));
        Mounted { volume, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn loses_power(&self) {
        self.loses_power_but(Survivors::None);
    }

    fn loses_power_but(&self, survivors: Survivors) {
        self.volume.power_off();
        assert!(fs::read_dir(self.folder.path()).is_err(), "nothing can be read without power");
        self.volume.power_on(survivors);
    }
}

fn sync(path: impl AsRef<Path>) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_needs_its_own_sync_and_its_folders() {
    let disk = Mounted::new();
    for name in ["both", "content", "name"] {
        fs::write(disk.path(name), name).unwrap();
    }
    sync(disk.path("both"));
    fs::remove_file(disk.path("content")).unwrap();
    sync(disk.folder.path());
    fs::write(disk.path("content"), "again").unwrap();
    sync(disk.path("content"));
    disk.loses_power();
    assert_eq!(names(disk.folder.path()), ["both", "name"]);
    assert_eq!(fs::read(disk.path("both")).unwrap(), b"both");
    assert_eq!(fs::read(disk.path("name")).unwrap(), b"", "the name is there, the bytes were never synced");
}

#[test]
fn what_was_written_after_the_sync_is_forgotten() {
    let disk = Mounted::new();
    let mut file = OpenOptions::new().create(true).append(true).open(disk.path("log")).unwrap();
    file.write_all(b"synced").unwrap();
    file.sync_data().unwrap();
    sync(disk.folder.path());
    file.write_all(b" lost").unwrap();
    file.write_at(b"S", 0).unwrap();
    drop(file);
    assert_eq!(fs::read(disk.path("log")).unwrap().len(), 12);
    disk.loses_power();
    assert_eq!(fs::read(disk.path("log")).unwrap(), b"synced");
    OpenOptions::new().write(true).open(disk.path("log")).unwrap().set_len(2).unwrap();
    disk.loses_power();
    assert_eq!(fs::read(disk.path("log")).unwrap(), b"synced", "a truncation is forgotten too");
}

#[test]
fn a_rename_is_done_or_not_done() {
    let disk = Mounted::new();
    let (old, new) = (disk.path("old"), disk.path("new"));
    fs::create_dir(&old).unwrap();
    fs::create_dir(&new).unwrap();
    fs::write(old.join("file"), "text").unwrap();
    sync(old.join("file"));
    sync(&old);
    sync(disk.folder.path());
    fs::rename(old.join("file"), new.join("file")).unwrap();
    disk.loses_power();
    assert_eq!((names(&old).len(), names(&new).len()), (1, 0));

    fs::rename(old.join("file"), new.join("file")).unwrap();
    sync(&new);
    disk.loses_power();
    assert_eq!((names(&old).len(), names(&new).len()), (0, 1), "one folder's sync keeps both names");
    assert_eq!(fs::read(new.join("file")).unwrap(), b"text");

    fs::write(new.join("other"), "replaced, not synced").unwrap();
    fs::rename(new.join("other"), new.join("file")).unwrap();
    disk.loses_power();
    assert_eq!(fs::read(new.join("file")).unwrap(), b"text");
    fs::write(new.join("other"), "replaced, not synced").unwrap();
    fs::rename(new.join("other"), new.join("file")).unwrap();
    sync(&new);
    disk.loses_power();
    assert_eq!(fs::read(new.join("file")).unwrap(), b"", "a rename of what was never synced");
}

#[test]
fn a_folder_is_gone_with_its_name_and_removed_files_come_back() {
    let disk = Mounted::new();
    let deep = disk.path("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "text").unwrap();
    sync(deep.join("file"));
    sync(&deep);
    sync(disk.path("a"));
    disk.loses_power();
    assert!(names(disk.folder.path()).is_empty(), "the outermost name was not synced");

    fs::create_dir(disk.path("kept")).unwrap();
    fs::write(disk.path("kept/file"), "text").unwrap();
    sync(disk.path("kept/file"));
    sync(disk.path("kept"));
    sync(disk.folder.path());
    fs::remove_dir_all(disk.path("kept")).unwrap();
    assert!(names(disk.folder.path()).is_empty());
    disk.loses_power();
    assert_eq!(fs::read(disk.path("kept/file")).unwrap(), b"text");
}

#[test]
fn links_and_locks_work_as_on_other_disks() {
    let disk = Mounted::new();
    fs::write(disk.path("file"), "text").unwrap();
    fs::hard_link(disk.path("file"), disk.path("hard")).unwrap();
    symlink("file", disk.path("soft")).unwrap();
    assert_eq!(fs::read(disk.path("soft")).unwrap(), b"text");
    assert_eq!(fs::metadata(disk.path("hard")).unwrap().nlink(), 2);
    assert!(symlink("file", disk.path("soft")).is_err(), "hg's locks are links");
    let _socket = std::os::unix::net::UnixListener::bind(disk.path("socket")).unwrap();
    std::os::unix::net::UnixStream::connect(disk.path("socket")).unwrap();
    for number in 0..1000 {
        fs::write(disk.path(&format!("{number}")), "").unwrap();
    }
    assert_eq!(names(disk.folder.path()).len(), 1004);
    for name in fs::read_dir(disk.folder.path()).unwrap() {
        fs::remove_file(name.unwrap().path()).unwrap();
    }
    assert!(names(disk.folder.path()).is_empty());
}

#[test]
fn the_seed_chooses_what_survives() {
    let written = vec![7; 64 * 1024];
    let left = |seed| {
        let disk = Mounted::new();
        fs::write(disk.path("synced"), "").unwrap();
        sync(disk.folder.path());
        fs::write(disk.path("synced"), &written).unwrap();
        for number in 0..16 {
            fs::write(disk.path(&format!("new-{number:02}")), "text").unwrap();
        }
        disk.loses_power_but(Survivors::Some { seed });
        let bytes = fs::read(disk.path("synced")).unwrap();
        (names(disk.folder.path()).len(), bytes.iter().filter(|byte| **byte == 7).count())
    };
    assert_eq!(left(1), left(1));
    let all: Vec<_> = (1..5).map(left).collect();
    assert!(all.iter().any(|one| *one != all[0]), "{all:?}");
    assert!(all.iter().any(|(names, bytes)| *names < 17 && (1..written.len()).contains(bytes)), "{all:?}");
}

#[test]
fn the_power_goes_in_the_middle_of_what_somebody_does() {
    let disk = Mounted::new();
    disk.volume.power_off_after(3);
    fs::write(disk.path("file"), "made and written: two").unwrap();
    sync(disk.folder.path());
    assert!(disk.volume.has_power());
    assert!(fs::write(disk.path("other"), "").is_err() && !disk.volume.has_power());
    disk.volume.power_on(Survivors::None);
    assert_eq!(names(disk.folder.path()), ["file"]);
}

#[test]
fn syncfs_is_not_passed_on() {
    let disk = Mounted::new();
    fs::write(disk.path("file"), "text").unwrap();
    let folder = File::open(disk.folder.path()).unwrap();
    rustix::fs::syncfs(&folder).unwrap();
    drop(folder);
    disk.loses_power();
    assert!(names(disk.folder.path()).is_empty());
}
