//! How long a writer's pushes stand still while another instance becomes master.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use protocol::status::Role;
use rustix::process::Signal;
use scenarios::{Client, Installation, Mercurial, Options, WirePusher, descendants, mercurials, signal, wait_for};

use crate::Scale;
use crate::machine::{median, percentile};
use crate::report::{Report, seconds};

const PROGRAM: &str = include_str!("bundles.py");
const PATH: &str = "gap";
/// Acknowledged before the event, and by the new master.
const PUSHES: usize = 5;
/// More than one promotion takes.
const BUNDLES: usize = 3_000;

/// Event that happens to the master, and is undone afterwards.
type Event = fn(&Installation, &str) -> Vec<u32>;

const EVENTS: [(&str, Event, f64); 3] = [
    ("a switchover is asked for", switchover, 2.0),
    ("the master's process is killed", kill, 6.0),
    ("the master falls silent, as on a node that is cut off", freeze, 6.0),
];

pub fn run(scale: &Scale, report: &mut Report) {
    let mercurial = mercurials().pop().unwrap();
    let master = "  failover: {minInterval: 0s}\n".to_owned();
    let installation = Installation::start(Options { master, ..Options::new(&mercurial, &[PATH]) });
    let writer = Writer::new(&installation, &mercurial, scale.of(BUNDLES, BUNDLES / 10));
    let times = scale.of(10, 1);
    let title = format!("The longest gap between two acknowledged pushes of one writer, {times} times each");
    report.part(&title, &["what happens", "median", "worst", "goal for the worst"]);
    let mut gaps = |what: &str, event: Option<Event>, goal: Option<f64>| {
        let gaps: Vec<f64> = (0..times).map(|_| writer.gap(&installation, event)).collect();
        let worst = percentile(&gaps, 100.0);
        let judged = goal.map_or_else(String::new, |goal| {
            format!("at most {}: {}", seconds(goal), if worst <= goal { "met" } else { "**missed**" })
        });
        report.row(&[what.to_owned(), seconds(median(&gaps)), seconds(worst), judged]);
    };
    gaps("nothing", None, None);
    for (what, event, goal) in EVENTS {
        gaps(what, Some(event), Some(goal));
    }
}

fn switchover(installation: &Installation, old: &str) -> Vec<u32> {
    let to = if old == "ssh-0" { "ssh-1" } else { "ssh-0" };
    installation.hgd(&["promote", "--data-dir", installation.data().to_str().unwrap(), to]).ok();
    Vec::new()
}

fn kill(installation: &Installation, old: &str) -> Vec<u32> {
    signal(installation.pid(old), Signal::KILL);
    Vec::new()
}

fn freeze(installation: &Installation, old: &str) -> Vec<u32> {
    let family = descendants(installation.pid(old));
    family.iter().for_each(|pid| signal(*pid, Signal::STOP));
    family
}

struct Writer {
    client: Client,
    bundles: PathBuf,
    next: AtomicUsize,
}

impl Writer {
    fn new(installation: &Installation, mercurial: &Mercurial, bundles: usize) -> Writer {
        let client = Client::new(installation, mercurial, "writer");
        let mut command = Command::new(&mercurial.python);
        command.args(["-c", PROGRAM]).arg(&client.folder).arg(bundles.to_string()).env("HGRCPATH", "");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Writer { bundles: client.folder.clone(), client, next: AtomicUsize::new(0) }
    }

    /// Pushes all the time, begun and ended with everybody in sync; answers the longest gap, in seconds.
    fn gap(&self, installation: &Installation, event: Option<Event>) -> f64 {
        in_sync(installation);
        let old = installation.status().master.unwrap().to_string();
        let (going, acknowledged) = (AtomicBool::new(true), AtomicUsize::new(0));
        let pushed = |count: usize| {
            let wanted = acknowledged.load(Ordering::Acquire) + count;
            wait_for("pushes are acknowledged", || match acknowledged.load(Ordering::Acquire) {
                now if now >= wanted => Ok(()),
                now => Err(format!("{now} of {wanted}")),
            });
        };
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| self.write(&going, &acknowledged));
            pushed(PUSHES);
            if let Some(event) = event {
                let undo = event(installation, &old);
                wait_for("another master", || match installation.status().master {
                    Some(master) if master.as_str() != old => Ok(()),
                    other => Err(format!("{other:?}")),
                });
                pushed(PUSHES);
                undo.iter().rev().for_each(|pid| signal(*pid, Signal::CONT));
            }
            pushed(PUSHES);
            going.store(false, Ordering::Release);
            writing.join().unwrap()
        })
    }

    fn write(&self, going: &AtomicBool, acknowledged: &AtomicUsize) -> f64 {
        let pusher = WirePusher::alone(&self.client);
        let (mut last, mut longest) = (None, Duration::ZERO);
        while going.load(Ordering::Acquire) {
            let number = self.next.load(Ordering::Acquire);
            let bundle = std::fs::read(self.bundles.join(number.to_string())).expect("there are enough bundles");
            // One that was recorded after all is pushed again, and then there is nothing new in it.
            if pusher.push(PATH, &bundle).is_ok() {
                let now = Instant::now();
                longest = longest.max(last.replace(now).map_or(Duration::ZERO, |last| now - last));
                self.next.store(number + 1, Ordering::Release);
                acknowledged.fetch_add(1, Ordering::AcqRel);
            }
        }
        longest.as_secs_f64()
    }
}

fn in_sync(installation: &Installation) {
    wait_for("every instance is in sync", || {
        let status = installation.status();
        let well = |role| role == Role::Master || role == Role::Standby;
        let all = status.instances.len() == 2 && status.instances.iter().all(|i| i.in_sync && well(i.role));
        if all { Ok(()) } else { Err(format!("{status:?}")) }
    });
}
