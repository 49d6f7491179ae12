//! The master's disk is full. Needs root, to mount a small file system.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::status::Refusal;
use scenarios::{Client, Installation, Options, mercurials, wait_for};

/// The data directory's file system; unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    /// None, with a word about it, for everybody but root.
    fn mount(folder: &Path, megabytes: u32) -> Option<Disk> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can mount the small file system that this test fills");
            return None;
        }
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).status().unwrap();
        assert!(mounted.success(), "the file system cannot be mounted");
        Some(Disk(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _already_gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills the disk up when a push is about to be recorded: Mercurial has stored the changesets, the log does not have
/// them yet, and the transaction has not ended. The file `leave` says how many bytes are left.
fn hook(folder: &Path, disk: &Path) -> String {
    let (leave, disk) = (folder.join("leave").display().to_string(), disk.display().to_string());
    format!(
        "[hooks]\npretxnclose.fill = test -e {leave} || exit 0; \
         size=$(($(df --output=avail -B1 {disk} | tail -n 1) - $(cat {leave}))); \
         test $size -le 0 || fallocate -l $size {disk}/ballast\n"
    )
}

/// Came: what a push may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Refused,
    BeingRepaired,
    Stored,
}

#[test]
fn the_person_is_told_the_truth_whatever_the_disk_has_room_for() {
    for server in mercurials() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options { mirrors: 1, ..Options::new(&server, &["hello"]) };
        let place = folder.path().join("disk");
        std::fs::create_dir(&place).unwrap();
        options.hgrc = hook(folder.path(), &place);
        let mut installation = Installation::start(options);
        installation.stop();
        let Some(disk) = Disk::mount(&place, 48) else { return };
        move_to(&installation.data().join("ssh-0"), &disk.0);
        installation.start_again();

        let client = Client::new(&installation, &server, "developer");
        client.init("local");
        // All bookmarks are in one file, which is written anew at the end of a push that moves one.
        let names: Vec<_> = (0..200).map(|number| format!("bookmark-{number:03}")).collect();
        let url = client.push_url("hello");
        client.hg("local", &[vec!["bookmark"], names.iter().map(String::as_str).collect()].concat()).ok();
        let each = names.iter().flat_map(|name| ["-B", name]).collect();
        client.hg("local", &[vec!["push", &url], each].concat()).ok();
        client.hg("local", &["update", "bookmark-007"]).ok();
        let mut seen = Vec::new();
        // A page of the file system has 4,096 bytes; a push takes some in the log, then some in the repository.
        for pages in [0, 3, 6, 7, 8, 9, 10, 64] {
            std::fs::write(client.folder.join("local").join("large"), noise(pages)).unwrap();
            client.commit("local", "file", &format!("with {pages} pages left"));
            std::fs::write(folder.path().join("leave"), (pages * 4096).to_string()).unwrap();
            let came = push(&installation, &client, &disk);
            eprintln!("{} with {pages} pages left: {came:?}", server.version);
            seen.push(came);
            std::fs::remove_file(folder.path().join("leave")).unwrap();
            match came {
                Came::Refused => _ = client.hg("local", &["push", &url]).ok(),
                // To the client the push has failed: it learns by a pull that its changesets are public.
                Came::BeingRepaired => _ = client.hg("local", &["pull", &url]).ok(),
                Came::Stored => {}
            }
            client.is_on_every_mirror(&installation, "hello", "local");
        }
        for came in [Came::Refused, Came::BeingRepaired, Came::Stored] {
            assert!(seen.contains(&came), "no push was {came:?}: {seen:?}");
        }
        the_status_says_it(&installation, &client, &disk);
        installation.stop();
    }
}

/// Also while nobody pushes, and it ends when there is room again.
fn the_status_says_it(installation: &Installation, client: &Client, disk: &Disk) {
    let refuses = |expected: Option<Refusal>| {
        wait_for("the master's status says whether it takes pushes", || {
            let refuses = installation.status().log.unwrap().refuses;
            if refuses == expected { Ok(()) } else { Err(format!("{refuses:?}")) }
        });
    };
    // Mirrors ran the hook, too.
    let _none_if_they_did_not = std::fs::remove_file(disk.0.join("ballast"));
    refuses(None);
    let ballast = std::fs::File::create(disk.0.join("ballast")).unwrap();
    let volume = rustix::fs::fstatvfs(&ballast).unwrap();
    let left = volume.f_bavail * volume.f_frsize;
    rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, left).unwrap();
    // Before and after that is known.
    client.commit("local", "file", "without any room");
    let pushes = || client.hg("local", &["push", &client.push_url("hello")]).fails();
    for said in [pushes(), {
        refuses(Some(Refusal::VolumeFull));
        pushes()
    }] {
        let reasons = ["abort: the server's volume is full", "all writes disabled"];
        assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
    }
    // What is open is not gone.
    drop(ballast);
    std::fs::remove_file(disk.0.join("ballast")).unwrap();
    refuses(None);
}

/// Printable and hard to compress: so much that its record needs pages of its own.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        33 + u8::try_from((state >> 33) % 90).unwrap()
    };
    (0..24_000).map(next).collect()
}

fn move_to(directory: &Path, disk: &Path) {
    let copied = Command::new("cp").arg("-a").arg(directory.join(".")).arg(disk).status().unwrap();
    assert!(copied.success());
    std::fs::remove_dir_all(directory).unwrap();
    std::os::unix::fs::symlink(disk, directory).unwrap();
}

/// Pushes, makes room again, and compares what was said with what the log says.
fn push(installation: &Installation, client: &Client, disk: &Disk) -> Came {
    let before = installation.records();
    let said = client.hg("local", &["push", &client.push_url("hello")]);
    let text = format!("{}{}", said.stdout, said.stderr);
    let after = installation.records();
    let _none_where_there_was_no_room = std::fs::remove_file(disk.0.join("ballast"));
    let came = if text.contains("remote: recorded; being repaired") {
        Came::BeingRepaired
    } else if said.code == Some(0) {
        assert!(text.contains("remote: recorded push in pushlog"), "{text}");
        Came::Stored
    } else {
        Came::Refused
    };
    let recorded = usize::from(came != Came::Refused);
    assert_eq!(after, before + recorded, "{came:?}: {text}");
    wait_for("the repository to follow the log", || {
        let tip = client.hg("", &["identify", "--id", "--debug", &client.push_url("hello")]).ok();
        // The answer is the last line: the others are what --debug, which makes hashes full, tells besides.
        let tip = tip.lines().last().unwrap_or_default();
        let is_there = tip == client.tip("local");
        if is_there == (came != Came::Refused) { Ok(()) } else { Err(format!("{came:?}, but the tip is {tip}")) }
    });
    came
}
