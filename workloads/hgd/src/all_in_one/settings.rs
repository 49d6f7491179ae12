//! `spec.readOnly` and `spec.largestPush` of the SshMaster while all-in-one runs. They are the fields that take effect
//! as soon as the file is written; everything else waits for the next start.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crds::Resources;
use protocol::MasterSettings;
use transport::{Client, Target};

use super::apply;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// `applied`: what was read at the start.
pub async fn follow(client: &Client, masters: &[Target], files: &[PathBuf], applied: &Resources) -> Infallible {
    let (mut applied, mut seen) = (settings(applied), Vec::new());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamps(files);
        if now == seen {
            continue;
        }
        seen = now;
        match super::read(files).map(|resources| settings(&resources)) {
            Ok(Some(wanted)) if applied.as_ref() != Some(&wanted) => {
                apply::settings(client, masters, &wanted).await;
                say(&applied.unwrap_or_default(), &wanted);
                applied = Some(wanted);
            }
            Ok(_) => {}
            Err(error) => {
                eprintln!("hgd: what holds for all pushes stays as it is, because the file cannot be read: {error}")
            }
        }
    }
}

fn say(before: &MasterSettings, now: &MasterSettings) {
    if before.read_only_reason != now.read_only_reason {
        match &now.read_only_reason {
            Some(reason) => eprintln!("hgd: every push is refused from here on: {reason}"),
            None => eprintln!("hgd: pushes are taken again"),
        }
    }
    if before.largest_push_bytes != now.largest_push_bytes {
        match now.largest_push_bytes {
            Some(bytes) => eprintln!("hgd: a push may have {bytes} bytes from here on"),
            None => eprintln!("hgd: the largest push is what data/hgrc says from here on"),
        }
    }
}

fn settings(resources: &Resources) -> Option<MasterSettings> {
    let [master] = resources.masters.as_slice() else { return None };
    Some(master.spec.settings())
}

/// A file that was written anew has another time or length.
fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(stamp).collect()
}
