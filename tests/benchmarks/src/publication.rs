//! From the answer to a push until every mirror shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::inspect::{self, Item};
use protocol::{CreationId, Entry, LogName, Offset, Record};
use scenarios::{Client, Installation, Options, mercurials};
use serde::Deserialize;

use crate::Scale;
use crate::machine::percentile;
use crate::report::{Report, ratio, seconds};

const PROGRAM: &str = include_str!("paced.py");
const MIRRORS: u32 = 4;
const REPOSITORIES: usize = 20;
const PUSHES_PER_SECOND: &str = "5";
const LOOK_EVERY: Duration = Duration::from_millis(1);
const GOALS_MILLISECONDS: [(f64, f64); 2] = [(50.0, 100.0), (99.0, 250.0)];

#[derive(Deserialize)]
struct Pushed {
    url: String,
    node: String,
    sent: f64,
    acknowledged: f64,
}

pub fn run(scale: &Scale, report: &mut Report) {
    let mercurial = mercurials().pop().unwrap();
    let paths: Vec<String> = (0..REPOSITORIES).map(|number| format!("paced-{number}")).collect();
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    let installation = Installation::start(Options { mirrors: MIRRORS, ..Options::new(&mercurial, &names) });
    installation.settled();
    let client = Client::new(&installation, &mercurial, "pusher");
    let rounds = scale.of(20, 3);
    let watch = Watch::start(["ssh-0", "ssh-1"].map(|name| log_of(&installation, name, LogName::Publication)));
    let mut command = Command::new(&mercurial.python);
    command.args(["-c", PROGRAM, "paced", &rounds.to_string(), PUSHES_PER_SECOND, client.ssh_command()]);
    command.args(paths.iter().map(|path| client.push_url(path))).current_dir(&client.folder).env("HGRCPATH", "");
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the paced pusher failed");
    installation.settled();
    let published = watch.end();
    let offsets = offsets(&log_of(&installation, "ssh-0", LogName::Replication));
    let words = String::from_utf8(output.stdout).unwrap();
    let pushes: Vec<Pushed> = words.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let place = |push: &Pushed| offsets[&(push.url.rsplit('/').next().unwrap().to_owned(), push.node.clone())];
    let delay = |push: &Pushed| published[&place(push)] - push.acknowledged;
    let delays: Vec<f64> = pushes.iter().map(delay).collect();
    let answers: Vec<f64> = pushes.iter().map(|push| push.acknowledged - push.sent).collect();
    report.part(
        &format!("{} pushes, 5 per second, {REPOSITORIES} repositories, {MIRRORS} mirrors", pushes.len()),
        &["", "sent to acknowledged", "acknowledged to published", "goal"],
    );
    for (percent, goal) in GOALS_MILLISECONDS {
        let (answer, delay) = (percentile(&answers, percent), percentile(&delays, percent));
        report.row(&[
            format!("p{percent}"),
            seconds(answer),
            seconds(delay),
            ratio(delay * 1000.0 / goal, &format!("at most 1.00 of {goal} ms"), delay * 1000.0 <= goal),
        ]);
    }
}

fn log_of(installation: &Installation, name: &str, log: LogName) -> PathBuf {
    installation.data().join(name).join("log").join(log.directory())
}

fn entries(directory: &Path) -> impl Iterator<Item = Entry> {
    // The very end may look torn while it is written.
    inspect::read(directory).into_iter().flatten().filter_map(|item| match item {
        Item::Entry { entry, .. } => Some(entry),
        Item::Segment { .. } | Item::Finding(_) => None,
    })
}

/// Where the push of which changeset to which path is in the first log.
fn offsets(directory: &Path) -> BTreeMap<(String, String), Offset> {
    let mut paths: BTreeMap<CreationId, String> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for entry in entries(directory) {
        match entry.record().unwrap() {
            Record::RepositoryCreated(created) => {
                let id = Record::RepositoryCreated(created.clone()).repository(entry.offset).unwrap();
                paths.insert(id, created.path.to_string());
            }
            Record::Push(push) => {
                let tip = push.tip.map(|tip| tip.to_string()).unwrap_or_default();
                found.insert((paths[&push.repository].clone(), tip), entry.offset);
            }
            _ => {}
        }
    }
    found
}

/// Sees when records are published: as soon as master and standby have it in their logs.
struct Watch {
    going: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BTreeMap<Offset, f64>>,
}

impl Watch {
    fn start(logs: [PathBuf; 2]) -> Watch {
        let going = Arc::new(AtomicBool::new(true));
        let told = going.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = [BTreeSet::new(), BTreeSet::new()];
            let (mut sizes, mut times) = ([0, 0], BTreeMap::new());
            while told.load(Ordering::Acquire) {
                for (place, directory) in logs.iter().enumerate() {
                    let size = size_of(directory);
                    if std::mem::replace(&mut sizes[place], size) != size {
                        seen[place] = published(directory);
                    }
                }
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
                for offset in seen[0].intersection(&seen[1]) {
                    times.entry(*offset).or_insert(now);
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
            times
        });
        Watch { going, thread }
    }

    fn end(self) -> BTreeMap<Offset, f64> {
        self.going.store(false, Ordering::Release);
        self.thread.join().unwrap()
    }
}

fn size_of(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

fn published(directory: &Path) -> BTreeSet<Offset> {
    let mut offsets = BTreeSet::new();
    for entry in entries(directory) {
        if let Ok(Record::Published(published)) = entry.record() {
            offsets.extend(published.offsets);
        }
    }
    offsets
}
