//! A full volume refuses appends and loses nothing; with room again it goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod rig;

use std::path::{Path, PathBuf};
use std::process::Command;

use log::{AppendError, Log, WriteFailure};
use protocol::{Generation, Offset};

use rig::{commit, lead, open, options, read, record};

/// A small volume of its own, gone when dropped.
struct Volume(PathBuf);

impl Volume {
    fn mount(at: &Path) -> Option<Volume> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Volume(at.to_owned()))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_volume_refuses_and_recovers() {
    let home = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::mount(&home.path().join("small")) else {
        eprintln!("SKIPPED: a full volume cannot be tried, because this user may not mount a tmpfs");
        return;
    };
    let directory = volume.0.join("log");
    // Segments of several sizes, so that the volume is full in the middle of one and at the beginning of one.
    for segment_bytes in [100_000, 1 << 20] {
        let _ = std::fs::remove_dir_all(&directory);
        let log = Log::open(options(&directory, segment_bytes)).unwrap();
        lead(&log, 1).await;
        let mut good = 0;
        let refused = loop {
            match log.append(Generation(1), &record(good, 10_000)).await {
                Ok(_) => good += 1,
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, AppendError::Write(WriteFailure::Full(_))), "{refused}");
        assert!(good > 80, "{good}");
        let both = log.append_many(Generation(1), &[record(1, 50_000), record(2, 50_000)]).await;
        assert!(matches!(both, Err(AppendError::Write(WriteFailure::Full(_)))), "{both:?}");
        assert_eq!(log.positions().end, Offset(good));
        log.wait_committed(Generation(1), Offset(good), rig::soon()).await.unwrap();
        // The segment that is being written must not go; room comes from elsewhere.
        let ballast = volume.0.join("ballast");
        if segment_bytes == 100_000 {
            log.trim(Offset(30)).await.unwrap();
        } else {
            drop(log);
            let last = rig::segment_files(&directory).pop().unwrap();
            assert!(std::fs::metadata(&last).unwrap().len() < 1 << 20);
            std::fs::write(&ballast, "").unwrap();
            enlarge(&volume.0);
            let log = open(&directory);
            assert_eq!(log.positions().end, Offset(good), "nothing was lost");
            lead(&log, 2).await;
            assert_eq!(commit(&log, 2, &record(777, 10_000)).await, Offset(good + 1));
            continue;
        }
        let offset = commit(&log, 1, &record(777, 10_000)).await;
        assert_eq!(offset, Offset(good + 1));
        drop(log);
        let log = open(&directory);
        assert_eq!(log.positions().end, offset);
        assert_eq!(read(&log, good, 2).await, [good - 1, 777]);
    }
}

fn enlarge(volume: &Path) {
    let status = Command::new("mount").args(["-o", "remount,size=2m"]).arg(volume).status();
    assert!(status.unwrap().success());
}
