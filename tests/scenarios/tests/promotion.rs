//! The walk of a promotion: the standby makes itself master while developers push, whatever became of the old one;
//! what was acknowledged is there, on one lineage, and the old master comes back as an in-sync standby by itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use protocol::Generation;
use protocol::status::{Role, Status};
use rustix::process::Signal;
use scenarios::{
    Client, Developers, Installation, Mercurial, Options, descendants, for_good, mercurials, signal, wait_for,
};
use serde_json::Value;

/// Two developers share the first.
const PATHS: [&str; 3] = ["one", "one", "draft/two"];
/// Pushes before and after each event.
const PUSHES: usize = 2;
/// Unplanned promotion, from the event to a master that takes pushes (design, section 7).
const UNPLANNED: Duration = Duration::from_secs(6);
/// Planned switchover, in which pushes are refused.
const PLANNED: Duration = Duration::from_secs(2);
/// From the end of its reign until an old master follows, in sync.
const STANDS_BY: Duration = Duration::from_secs(15);
/// A second promotion may follow at once.
const AT_ONCE: &str = "  failover: {minInterval: 0s}\n";

fn newest() -> Mercurial {
    mercurials().pop().unwrap()
}

struct Setting {
    installation: Installation,
    developers: Developers,
    instances: usize,
}

impl Setting {
    fn new(master: &str) -> Setting {
        Setting::with(master, String::new())
    }

    fn with(master: &str, hgrc: String) -> Setting {
        Setting::of(2, master, hgrc)
    }

    fn of(instances: usize, master: &str, hgrc: String) -> Setting {
        let mut options = Options::new(&newest(), &["one", "draft/two"]);
        options.master = master.into();
        options.hgrc = hgrc;
        let installation = Installation::start(options);
        let developers = Developers::start(&installation, &newest(), &PATHS);
        let setting = Setting { installation, developers, instances };
        setting.in_sync();
        setting.developers.go_on(PUSHES);
        setting
    }

    fn status(&self) -> Status {
        self.installation.status()
    }

    fn master(&self) -> String {
        self.status().master.unwrap().to_string()
    }

    /// Waits until every instance is the master or an in-sync standby.
    fn in_sync(&self) {
        wait_for("every instance is in sync", || {
            let status = self.status();
            let well = |role| role == Role::Master || role == Role::Standby;
            let all =
                status.instances.len() == self.instances && status.instances.iter().all(|i| i.in_sync && well(i.role));
            if all { Ok(()) } else { Err(format!("{status:?}")) }
        });
    }

    /// Waits until another than `old` is master, and answers how long that took.
    fn replaced(&self, old: &str, since: Instant) -> Duration {
        let generation = wait_for("another master", || {
            let status = self.status();
            match status.master.filter(|master| master.as_str() != old) {
                Some(_) => Ok(status.generation),
                None => Err(format!("generation {}", status.generation)),
            }
        });
        assert!(generation > Generation(1));
        since.elapsed()
    }

    /// Answers what the register tells of the newest change of master.
    fn promotion(&self) -> Value {
        let text = std::fs::read_to_string(self.installation.data().join("register.json")).unwrap();
        let register: Value = serde_json::from_str(&text).unwrap();
        register["promotion"].clone()
    }

    /// Sees that of `processes`, which a master that is one no more had started, none is left.
    fn none_is_left(&self, processes: &[u32]) {
        wait_for("nobody of the old master's processes is left", || {
            let left: Vec<&u32> = processes.iter().filter(|pid| runs(**pid)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }

    /// A master that is one no more has begun again in its process, and follows: a container that ended so often would
    /// be started again late.
    fn has_begun_again(&self, name: &str, family: &[u32]) {
        let since = Instant::now();
        self.in_sync();
        assert!(since.elapsed() <= STANDS_BY, "{:?}", since.elapsed());
        assert_eq!(self.installation.pid(name), family[0]);
        self.none_is_left(&family[1..]);
        let dead: Vec<u32> = descendants(family[0]).into_iter().filter(|pid| state(*pid) == Some('Z')).collect();
        assert!(dead.is_empty(), "nobody waits for the end of {dead:?}");
    }

    /// Pushes go on, everybody is in sync again, and all copies are equal.
    fn ends_well(mut self) {
        self.developers.go_on(PUSHES);
        self.in_sync();
        let pushed = self.developers.stop();
        self.installation.settled();
        self.installation.holds(&newest(), &pushed);
        self.installation.stop();
        self.installation.logs_agree();
    }
}

/// Answers whether it runs. What has ended and is not yet waited for counts as ended.
fn runs(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// None: nobody has that number.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn a_killed_master_is_replaced() {
    let setting = Setting::new(AT_ONCE);
    // Twice in a row: the second time it is the first one's turn again.
    for old in ["ssh-0", "ssh-1"] {
        assert_eq!(setting.master(), old);
        let family = descendants(setting.installation.pid(old));
        signal(setting.installation.pid(old), Signal::KILL);
        let seconds = setting.replaced(old, Instant::now());
        assert!(seconds <= UNPLANNED, "{seconds:?}");
        let (promotion, new) = (setting.promotion(), setting.master());
        assert_eq!((&promotion["from"], &promotion["made"]["to"]), (&Value::from(old), &Value::from(new.as_str())));
        assert_eq!(promotion["reason"], "the master's process has ended");
        assert_eq!(promotion["made"]["proof"], format!("{new} is sealed"));
        let [begun, made] = [&promotion["begun"], &promotion["made"]["at"]].map(|at| at.as_u64().unwrap());
        assert!((begun..begun + 6_000).contains(&made), "{promotion}");
        setting.developers.go_on(PUSHES);
        setting.in_sync();
        setting.none_is_left(&family);
    }
    setting.ends_well();
}

/// A zygote among them.
fn zygote_of(pid: u32) -> u32 {
    let is_zygote = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains("zygote.py")
    };
    descendants(pid).into_iter().find(is_zygote).unwrap()
}

/// One fault at a time, all within one `failover.minInterval`: nobody says that anything has ended but the first time.
#[test]
fn what_freezes_is_replaced_and_so_is_a_master_on_which_pushes_fail() {
    let setting = Setting::new("");
    let replaced_by_supervisor = |what: &str, pid: u32| {
        let since = Instant::now();
        signal(pid, Signal::STOP);
        wait_for(what, || if runs(pid) { Err(format!("{pid} is still there")) } else { Ok(()) });
        assert!(since.elapsed() <= UNPLANNED, "{what}: {:?}", since.elapsed());
        setting.developers.go_on(PUSHES);
    };
    replaced_by_supervisor("the end of a frozen balancer", setting.installation.pid("balancer"));
    let master = setting.installation.pid(&setting.master());
    replaced_by_supervisor("the end of a frozen zygote", zygote_of(master));
    assert_eq!(setting.master(), "ssh-0");

    signal(master, Signal::KILL);
    setting.replaced("ssh-0", Instant::now());
    setting.in_sync();
    let family = descendants(setting.installation.pid("ssh-1"));
    let since = Instant::now();
    family.iter().for_each(|pid| signal(*pid, Signal::STOP));
    let seconds = setting.replaced("ssh-1", since);
    assert!(seconds <= UNPLANNED, "so soon after another promotion: {seconds:?}");
    setting.developers.go_on(PUSHES);
    family.iter().rev().for_each(|pid| signal(*pid, Signal::CONT));
    setting.in_sync();

    assert_eq!(setting.master(), "ssh-0");
    let blobs = setting.installation.data().join("ssh-0/blobs");
    std::fs::rename(blobs.join("incoming"), blobs.join("gone")).unwrap();
    setting.replaced("ssh-0", Instant::now());
    assert_eq!(setting.promotion()["reason"], "pushes fail on the master");
    setting.in_sync();
    setting.ends_well();
}

/// Nothing goes on without a copy here, and two of the three make one; who is asked for is named, not the first.
#[test]
fn of_three_strict_instances_one_may_be_lost() {
    let master = "  instances: 3\n  log: {durability: Strict}\n  failover: {minInterval: 0s}\n";
    let setting = Setting::of(3, master, String::new());
    let data = setting.installation.data();
    assert_eq!(setting.master(), "ssh-0");
    signal(setting.installation.pid("ssh-0"), Signal::KILL);
    let seconds = setting.replaced("ssh-0", Instant::now());
    assert!(seconds <= UNPLANNED, "{seconds:?}");
    setting.developers.go_on(PUSHES);
    setting.in_sync();
    // The last, and then the one that is neither first nor last.
    for to in ["ssh-2", "ssh-1"].into_iter().filter(|to| setting.master() != *to) {
        let done = setting.installation.hgd(&["promote", "--data-dir", data.to_str().unwrap(), to, "-o", "json"]).ok();
        let done: Value = serde_json::from_str(&done).unwrap();
        assert_eq!(done["to"], to);
        assert_eq!(setting.master(), to);
        assert_eq!(setting.promotion()["reason"], "a switchover was asked for");
        setting.developers.go_on(PUSHES);
        setting.in_sync();
    }
    setting.ends_well();
}

/// With a push in every stage that is stopped there before.
#[test]
fn a_frozen_master_is_replaced_and_refused_when_it_thaws() {
    let orders = tempfile::tempdir().unwrap();
    let order = orders.path().join("stop");
    let setting = Setting::with(AT_ONCE, format!("[hg-operator]\ntest-stop-file = {}\n", order.display()));
    for stage in ["before-append", "after-append", "during-close"] {
        let written = orders.path().join("new");
        std::fs::write(&written, stage).unwrap();
        std::fs::rename(&written, &order).unwrap();
        wait_for(stage, || if order.exists() { Err("nobody got there".into()) } else { Ok(()) });
        let name = setting.master();
        let family = descendants(setting.installation.pid(&name));
        family.iter().for_each(|pid| signal(*pid, Signal::STOP));
        let seconds = setting.replaced(&name, Instant::now());
        assert!(seconds <= UNPLANNED, "{stage}: {seconds:?}");
        setting.developers.go_on(PUSHES);
        family.iter().rev().for_each(|pid| signal(*pid, Signal::CONT));
        setting.has_begun_again(&name, &family);
    }
    setting.ends_well();
}

#[test]
fn a_switchover_refuses_pushes_for_a_moment_and_loses_none() {
    let setting = Setting::new("");
    let data = setting.installation.data();
    let promote = |arguments: &[&str]| {
        let arguments = [&["promote", "--data-dir", data.to_str().unwrap()], arguments].concat();
        setting.installation.hgd(&arguments)
    };
    assert!(promote(&["ssh-7"]).fails().contains("ssh-7 cannot be made master"));
    assert!(promote(&["Not a name"]).fails().contains("an instance name has"));
    // Each old master starts anew with it: whoever could log in before still can.
    let mistake = |text: &str| {
        let users = setting.installation.data().join("secrets/users/authorized_keys");
        let mut file = std::fs::OpenOptions::new().append(true).open(users).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    };
    mistake("a line that is none\n");
    for to in ["ssh-1", "ssh-0", "ssh-1", "ssh-0"] {
        let old = setting.master();
        let family = descendants(setting.installation.pid(&old));
        let done: Value = serde_json::from_str(&promote(&[to, "-o", "json"]).ok()).unwrap();
        assert_eq!(done["to"], to);
        let seconds = done["seconds"].as_f64().unwrap();
        assert!(seconds <= PLANNED.as_secs_f64(), "{seconds}");
        assert_eq!(setting.master(), to);
        setting.has_begun_again(&old, &family);
        setting.developers.go_on(PUSHES);
    }
    setting.ends_well();
}

#[test]
fn a_master_with_an_emptied_disk_is_a_newcomer() {
    let setting = Setting::new("");
    let data = setting.installation.data().join("ssh-0");
    // The process that is started again must find the disk empty.
    signal(setting.installation.supervisor(), Signal::STOP);
    signal(setting.installation.pid("ssh-0"), Signal::KILL);
    std::fs::rename(&data, data.with_extension("gone")).unwrap();
    signal(setting.installation.supervisor(), Signal::CONT);
    setting.replaced("ssh-0", Instant::now());
    setting.ends_well();
}

#[test]
fn a_standby_with_an_emptied_disk_joins_again_and_can_be_promoted() {
    let setting = Setting::new("");
    let data = setting.installation.data().join("ssh-1");
    signal(setting.installation.supervisor(), Signal::STOP);
    signal(setting.installation.pid("ssh-1"), Signal::KILL);
    std::fs::rename(&data, data.with_extension("gone")).unwrap();
    signal(setting.installation.supervisor(), Signal::CONT);
    setting.developers.go_on(PUSHES);
    setting.in_sync();
    signal(setting.installation.pid("ssh-0"), Signal::KILL);
    setting.replaced("ssh-0", Instant::now());
    setting.ends_well();
}

#[test]
fn without_its_standby_a_degraded_master_goes_on_alone_and_is_not_replaced() {
    let setting = Setting::new("");
    setting.installation.pause("ssh-1");
    setting.developers.go_on(PUSHES);
    let alone = setting.status();
    assert!(alone.instances.iter().any(|i| i.name.as_str() == "ssh-1" && !i.in_sync), "{alone:?}");
    let client = Client::new(&setting.installation, &newest(), "alone");
    client.init("work");
    let said = client.hg("work", &["push", "--force", &client.push_url("draft/two")]).ok();
    assert!(said.contains("remote: warning: no standby is in sync"), "{said}");
    setting.installation.pause("ssh-0");
    setting.installation.resume("ssh-1");
    is_told_without_a_master(&setting.installation);
    setting.installation.kill("ssh-0");
    setting.developers.go_on(PUSHES);
    for_good(setting.master() == "ssh-0", "one that lacks acknowledged pushes has become master");
    setting.ends_well();
}

/// Exactly then a person looks: what is known, and what is waited for.
fn is_told_without_a_master(installation: &Installation) {
    let data = installation.data();
    let asked = ["status", "--data-dir", data.to_str().unwrap()];
    wait_for("the status says why there is no master", || {
        let text = installation.hgd(&asked).ok();
        let parts =
            ["NO MASTER for ", "ssh-0 does not answer: ", "no standby of the in-sync set", "ssh-1     standby"];
        let rest = ["mirror-0  Active", "draft/two"];
        if parts.iter().chain(&rest).all(|part| text.contains(part)) { Ok(()) } else { Err(text) }
    });
    let status = installation.hgd(&[&asked[..], &["-o", "json"]].concat()).ok();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["master"], status["absence"]["sentence"].is_string()), (&serde_json::Value::Null, true));
    let refused = installation.hgd(&["verify", "--data-dir", data.to_str().unwrap()]).fails();
    assert!(refused.contains("no SSH instance answers as master: ssh-0 does not answer"), "{refused}");
}

#[test]
fn readers_notice_nothing_that_one_retry_does_not_mend() {
    let setting = Setting::new("");
    let reader = Client::new(&setting.installation, &newest(), "reader-of-mirrors");
    let url = format!("{}/one", reader.http);
    signal(setting.installation.pid("ssh-0"), Signal::KILL);
    let since = Instant::now();
    let mut failures = 0;
    while since.elapsed() < UNPLANNED {
        failures = match reader.remote_tip(&url) {
            Ok(_) => 0,
            Err(why) if failures > 0 => panic!("twice in a row: {why}"),
            Err(_) => failures + 1,
        };
    }
    setting.replaced("ssh-0", since);
    setting.ends_well();
}
