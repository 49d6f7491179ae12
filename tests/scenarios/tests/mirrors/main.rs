//! Mirrors that come, go, begin anew, and are in nobody's way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod beginning;
mod leaving;
mod repositories;
mod retention;

use protocol::status::{MirrorState, MirrorStatus, RepositoryStatus};
use scenarios::{Client, Installation, Mercurial, mercurials};

fn newest() -> Mercurial {
    mercurials().pop().unwrap()
}

fn mirror(installation: &Installation, name: &str) -> MirrorStatus {
    let status = installation.status();
    status.mirrors.into_iter().find(|mirror| mirror.name.as_str() == name).unwrap()
}

fn repository(installation: &Installation, path: &str) -> RepositoryStatus {
    let status = installation.status();
    status.repositories.into_iter().find(|repository| repository.path.as_str() == path).unwrap()
}

/// How often a mirror's log holds these words.
fn told(installation: &Installation, name: &str, words: &str) -> usize {
    let log = std::fs::read_to_string(installation.data().join("logs").join(format!("{name}.log"))).unwrap();
    log.matches(words).count()
}

/// The disk of a mirror that is down is gone; the supervisor starts it again.
fn lose_disk(installation: &Installation, name: &str) {
    installation.pause(name);
    std::fs::remove_dir_all(installation.data().join(name)).unwrap();
    installation.kill(name);
}

fn is_active(installation: &Installation, name: &str) -> Result<(), String> {
    let mirror = mirror(installation, name);
    if mirror.state == MirrorState::Active { Ok(()) } else { Err(format!("{mirror:?}")) }
}

/// A bundle of `changesets` new changesets, each of about `bytes`, for [`scenarios::WirePusher`].
fn bundle(client: &Client, changesets: usize, bytes: usize) -> Vec<u8> {
    client.hg("", &["init", "bundled"]).ok();
    // Uncompressed all the same, but not a run of one letter.
    let mut state = 0x9e37_79b9_u32;
    for number in 0..changesets {
        let mut text = format!("{number}\n");
        while text.len() < bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text += &format!("{state:08x}");
        }
        std::fs::write(client.folder.join("bundled/file"), text).unwrap();
        client.hg("bundled", &["commit", "--addremove", "--message", &format!("change {number}")]).ok();
    }
    client.hg("bundled", &["bundle", "--all", "--type", "none-v1", "all.hg"]).ok();
    std::fs::read(client.folder.join("bundled/all.hg")).unwrap()
}
