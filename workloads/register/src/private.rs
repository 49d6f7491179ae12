//! A data directory is for its user alone: it holds private repositories, and keys. Files are made so under the umask
//! of `hgd`; what an older version, a restore or a person has left readable for others is mended at each start.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Others' rights: of everybody but the owner.
const OTHERS: u32 = 0o077;
/// World's rights: of everybody but owner and group.
const WORLD: u32 = 0o007;
/// A folder that has this and its group's rights was prepared by the kubelet (`fsGroup`), which would prepare every
/// file below it again if they were taken away.
const SET_GROUP: u32 = 0o2000;
/// Too many to be looked at, one by one, at each start: the folder itself is closed.
const CLOSED_AS_A_WHOLE: [&str; 2] = ["repositories", "sha256"];

/// Takes rights away from others. Answers how often.
pub fn close(directory: &Path) -> io::Result<usize> {
    let mode = fs::metadata(directory)?.permissions().mode();
    let prepared = mode & SET_GROUP != 0;
    Ok(usize::from(take(directory, mode, if prepared { WORLD } else { OTHERS })?) + close_below(directory)?)
}

fn close_below(directory: &Path) -> io::Result<usize> {
    let mut taken = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(metadata) = unless_gone(entry.metadata())? else { continue };
        if metadata.is_symlink() {
            continue;
        }
        let path = entry.path();
        taken += usize::from(take(&path, metadata.permissions().mode(), OTHERS)?);
        if metadata.is_dir() && !CLOSED_AS_A_WHOLE.iter().any(|name| path.ends_with(name)) {
            taken += unless_closed(close_below(&path))?.unwrap_or_default();
        }
    }
    Ok(taken)
}

fn take(path: &Path, mode: u32, rights: u32) -> io::Result<bool> {
    if mode & rights == 0 {
        return Ok(false);
    }
    match fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !rights)) {
        // Of another user, such as the root of a volume.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            if mode & WORLD != 0 {
                tracing::warn!(path = %path.display(), "every user has rights here: it is not ours to close");
            }
            Ok(false)
        }
        other => unless_gone(other).map(|done| done.is_some()),
    }
}

/// Nor what its owner has closed to us, such as `lost+found`.
fn unless_closed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        other => unless_gone(other),
    }
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_others_may_read_is_closed_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let segment = data.join("log/replication/1.segment");
        let inside = data.join("repositories/0000000000000001/.hg/store/00changelog.i");
        let modes = [(&segment, 0o644), (&inside, 0o644), (&data.join("instance.json"), 0o600)];
        for (path, wanted) in modes {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
            fs::set_permissions(path, Permissions::from_mode(wanted)).unwrap();
        }
        fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        let outside = folder.path().join("outside");
        fs::write(&outside, "").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&outside, data.join("link")).unwrap();
        assert!(close(&data).unwrap() > 0);
        for closed in [&data, &data.join("log"), &data.join("log/replication"), &data.join("repositories")] {
            assert_eq!(mode(closed), 0o700, "{}", closed.display());
        }
        assert_eq!((mode(&segment), mode(&outside)), (0o600, 0o644));
        assert_eq!(mode(&inside), 0o644, "its folder is closed as a whole");
        assert_eq!(close(&data).unwrap(), 0);
        // As the kubelet prepares a volume.
        fs::set_permissions(&data, Permissions::from_mode(0o2775)).unwrap();
        close(&data).unwrap();
        assert_eq!(mode(&data), 0o2770);
    }
}
