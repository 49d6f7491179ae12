//! One volume for all SSH instances: whoever is master opens it. A master whose end is seen is replaced, one that is
//! only silent is not; and one that wakes up after a person has said that it was off acknowledges nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use protocol::status::Status;
use rustix::process::Signal;
use scenarios::{
    Client, Developers, Installation, Mercurial, Options, Outcome, descendants, for_good, mercurials, signal, wait_for,
};
use serde_json::Value;

/// Two developers share the first.
const PATHS: [&str; 3] = ["one", "one", "draft/two"];
/// Pushes before and after each event.
const PUSHES: usize = 2;
/// Shared volume, with a lease short enough to run out in a test.
const SHARED: &str = "  storage: {mode: Shared}\n  failover: {minInterval: 0s, detectionSeconds: 1, lease: \
                      {duration: 5s, renewDeadline: 4s, retryPeriod: 1s}}\n";
/// The `duration` above.
const LEASE: Duration = Duration::from_secs(5);

fn newest() -> Mercurial {
    mercurials().pop().unwrap()
}

struct Setting {
    installation: Installation,
    developers: Developers,
}

impl Setting {
    fn new() -> Setting {
        let mut options = Options::new(&newest(), &["one", "draft/two"]);
        options.master = SHARED.into();
        let installation = Installation::start(options);
        let setting = Setting { developers: Developers::start(&installation, &newest(), &PATHS), installation };
        setting.developers.go_on(PUSHES);
        setting
    }

    fn status(&self) -> Status {
        self.installation.status()
    }

    fn master(&self) -> String {
        self.status().master.unwrap().to_string()
    }

    #[track_caller]
    fn replaced(&self, old: &str) {
        wait_for("another master", || match self.master() {
            master if master != old => Ok(()),
            master => Err(master),
        });
    }

    fn hgd(&self, words: &[&str]) -> Outcome {
        let data = self.installation.data();
        self.installation.hgd(&[words, &["--data-dir", data.to_str().unwrap()]].concat())
    }

    /// A master that is one no more runs on in its process, without anything that it had started.
    fn has_begun_again(&self, name: &str, family: &[u32]) {
        wait_for("nothing of its reign is left", || {
            let left: Vec<_> = family[1..].iter().filter(|pid| is_alive(**pid)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        assert_eq!(self.installation.pid(name), family[0]);
    }

    /// Pushes go on, and every mirror has what was acknowledged.
    fn ends_well(mut self) {
        self.developers.go_on(PUSHES);
        let pushed = self.developers.stop();
        self.installation.settled();
        self.installation.holds(&newest(), &pushed);
        self.installation.stop();
        for log in ["replication", "publication"] {
            let directory = self.installation.data().join("shared").join("log").join(log);
            self.installation.hgd(&["log", "verify", directory.to_str().unwrap()]).ok();
        }
    }
}

#[test]
fn a_killed_master_is_replaced_on_the_same_data() {
    let setting = Setting::new();
    for old in ["ssh-0", "ssh-1"] {
        assert_eq!(setting.master(), old);
        let family = descendants(setting.installation.pid(old));
        assert!(family.len() > 2, "a zygote and its children: {family:?}");
        signal(family[0], Signal::KILL);
        setting.replaced(old);
        let left: Vec<_> = family.iter().filter(|pid| is_alive(**pid)).collect();
        assert!(left.is_empty(), "of the old master's processes {left:?} still run");
        setting.developers.go_on(PUSHES);
    }
    setting.ends_well();
}

#[test]
fn a_frozen_master_is_waited_for() {
    let setting = Setting::new();
    let family = descendants(setting.installation.pid("ssh-0"));
    family.iter().for_each(|pid| signal(*pid, Signal::STOP));
    let generation = register(&setting.installation)["generation"].clone();
    wait_for("the supervisor says what is missing", || {
        let log = setting.installation.logs();
        if log.contains("hgd fence --confirm") { Ok(()) } else { Err(log) }
    });
    let since = Instant::now();
    wait_for("twice the lease", || if since.elapsed() > 2 * LEASE { Ok(()) } else { Err(String::new()) });
    let after = register(&setting.installation);
    assert_eq!((&after["generation"], &after["master"]), (&generation, &Value::from("ssh-0")));
    family.iter().rev().for_each(|pid| signal(*pid, Signal::CONT));
    setting.developers.go_on(PUSHES);
    assert_eq!(setting.master(), "ssh-0");
    setting.ends_well();
}

#[test]
fn a_switchover_hands_the_volume_over() {
    let setting = Setting::new();
    for to in ["ssh-1", "ssh-0"] {
        let old = setting.master();
        let family = descendants(setting.installation.pid(&old));
        let done: Value = serde_json::from_str(&setting.hgd(&["promote", to, "-o", "json"]).ok()).unwrap();
        assert_eq!(done["to"], to);
        assert_eq!(setting.master(), to);
        setting.has_begun_again(&old, &family);
        setting.developers.go_on(PUSHES);
    }
    assert!(setting.hgd(&["promote", "ssh-7"]).fails().contains("ssh-7 cannot be made master"));
    setting.ends_well();
}

#[test]
fn a_master_that_was_taken_for_off_acknowledges_nothing_when_it_wakes_up() {
    let mut setting = Setting::new();
    let pushed = std::mem::replace(&mut setting.developers, Developers::start(&setting.installation, &newest(), &[]));
    let pushed = pushed.stop();
    setting.installation.settled();
    let client = Client::new(&setting.installation, &newest(), "late");
    client.init("work");
    let family = descendants(setting.installation.pid("ssh-0"));
    family.iter().for_each(|pid| signal(*pid, Signal::STOP));
    // It reaches the old master, which does not answer.
    let late = client.start("work", &["push", "--force", &client.push_url("draft/two")]);

    assert!(setting.hgd(&["fence"]).fails().contains("nothing was done: with --confirm ssh-0"));
    assert_eq!(register(&setting.installation)["master"], "ssh-0");
    let said: Value = serde_json::from_str(&setting.hgd(&["fence", "--confirm", "-o", "json"]).ok()).unwrap();
    assert_eq!((&said["master"], &said["confirmed"]), (&Value::from("ssh-0"), &Value::from(true)));
    wait_for("another is named", || match &register(&setting.installation)["master"] {
        master if *master == "ssh-1" => Ok(()),
        other => Err(other.to_string()),
    });
    setting.replaced("ssh-0");
    setting.developers = Developers::start_as(&setting.installation, &newest(), &PATHS, "second");
    setting.developers.go_on(PUSHES);

    family.iter().rev().for_each(|pid| signal(*pid, Signal::CONT));
    let late = late.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&late.stdout).into_owned() + &String::from_utf8_lossy(&late.stderr);
    for_good(!late.status.success() && !text.contains("recorded push in pushlog"), &text);
    setting.has_begun_again("ssh-0", &family);
    setting.developers.go_on(PUSHES);
    setting.installation.holds(&newest(), &pushed);
    setting.ends_well();
}

#[test]
fn with_volumes_of_their_own_nobody_is_fenced_by_word() {
    let options = Options::new(&newest(), &["one"]);
    let installation = Installation::start(options);
    let data = installation.data();
    let said = installation.hgd(&["fence", "--confirm", "--data-dir", data.to_str().unwrap()]).fails();
    assert!(said.contains("each SSH instance has its own volume here"), "{said}");
}

fn register(installation: &Installation) -> Value {
    serde_json::from_slice(&std::fs::read(installation.data().join("register.json")).unwrap()).unwrap()
}

/// A zombie has ended.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}
