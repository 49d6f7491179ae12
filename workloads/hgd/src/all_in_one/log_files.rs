//! The children's log files, each with one older one beside it, and both bounded. A child appends to a descriptor that
//! it was started with, so that a supervisor that hangs stops nobody: the file is copied and emptied under it.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::interval;

/// An access log of a busy mirror grows by less than 1 MiB a second.
const FILE_BYTES: u64 = 32 * 1024 * 1024;
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub async fn keep_bounded(log: &Path) -> Infallible {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let path = log.to_owned();
        match spawn_blocking(move || rotate(&path, FILE_BYTES)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, log = %log.display(), "a log file cannot be kept to its bound"),
            Err(error) => tracing::error!(%error, "a log file was not looked at"),
        }
    }
}

/// Rotates the log. What was written a moment before the file is emptied may be lost, where the child writes at that
/// moment.
fn rotate(log: &Path, most: u64) -> io::Result<()> {
    if fs::metadata(log).map_or(0, |file| file.len()) <= most {
        return Ok(());
    }
    let mut from = File::open(log)?;
    let older = older(log);
    let mut to = OpenOptions::new().create(true).write(true).truncate(true).open(&older)?;
    // One that nobody looked at for long is not copied whole.
    let begin = from.metadata()?.len().saturating_sub(2 * most);
    from.seek(SeekFrom::Start(begin))?;
    let copied = io::copy(&mut from, &mut to);
    // The bound goes before the copy: there may be no room for that.
    OpenOptions::new().write(true).open(log)?.set_len(0)?;
    copied.map(|_| ())
}

fn older(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_child_that_goes_on_writing_finds_its_file_emptied_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("mirror-0.log");
        let mut child = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        child.write_all(b"0123456789").unwrap();
        rotate(&log, 10).unwrap();
        assert!(!older(&log).exists());
        child.write_all(b"x").unwrap();
        rotate(&log, 10).unwrap();
        child.write_all(b"next").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"next");
        assert_eq!(fs::read(older(&log)).unwrap(), b"0123456789x");
        child.write_all(&[b'y'; 100]).unwrap();
        rotate(&log, 10).unwrap();
        assert_eq!(fs::read(older(&log)).unwrap(), [b'y'; 20]);
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        rotate(&folder.path().join("none.log"), 10).unwrap();
    }
}
