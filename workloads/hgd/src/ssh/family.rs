//! This process and every process below it: whoever comes after them must know when the last one has ended, not only
//! that the first one has.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

const FILE: &str = "family.lock";
const POLL: Duration = Duration::from_millis(5);
/// A family that is killed ends sooner; one that has not hangs in the kernel, on a volume perhaps.
const SAID_AFTER: Duration = Duration::from_secs(10);
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// Held by a family for as long as one of it runs: all of them have the same open file.
#[derive(Debug)]
pub struct Family {
    _held: File,
}

/// The lock of the family that uses this run directory.
pub fn lock_file(run: &Path) -> PathBuf {
    run.join(FILE)
}

/// Waits for the end of an earlier family, then begins another.
pub async fn begin(run: &Path) -> io::Result<Family> {
    std::fs::create_dir_all(run)?;
    let held = locked(&lock_file(run)).await?;
    // Children inherit it. They are killed when their parent ends, but a kernel does that in its own time.
    fcntl_setfd(&held, FdFlags::empty())?;
    Ok(Family { _held: held })
}

/// Until nobody of the family is left.
pub async fn ended(lock: &Path) -> io::Result<()> {
    locked(lock).await.map(drop)
}

async fn locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let mut say = Instant::now() + SAID_AFTER;
    loop {
        if Instant::now() >= say {
            tracing::error!(lock = %path.display(), "processes of an earlier start still run: waiting until they end");
            say += SAID_AGAIN;
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => tokio::time::sleep(POLL).await,
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn a_family_has_ended_when_its_last_process_has() {
        let run = tempfile::tempdir().unwrap();
        let family = begin(run.path()).await.unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        drop(family);
        let lock = lock_file(run.path());
        let orphaned = tokio::time::timeout(Duration::from_millis(100), ended(&lock)).await;
        assert!(orphaned.is_err(), "its child still runs");
        child.kill().unwrap();
        child.wait().unwrap();
        ended(&lock).await.unwrap();
    }
}
