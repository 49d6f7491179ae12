//! Without its standby a `Strict` master records nothing: pushes wait, then are refused, and none that was
//! acknowledged is lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::process::Child;

use protocol::status::{Refusal, Role};
use scenarios::{Client, Installation, Options, Pushed, RegistryClient, for_good, mercurials, wait_for};
use tempfile::TempDir;

const NOT_AVAILABLE: &str = "replication log not available; all writes disabled";
const OUTCOME_UNKNOWN: &str = "outcome unknown: the push may have been recorded";

/// An installation whose standby can be made to stop in the middle of a push: after every check and before the append.
struct Setting {
    installation: Installation,
    client: Client,
    url: String,
    /// The process that the next push's last hook stops.
    victim: PathBuf,
    _folder: TempDir,
}

impl Setting {
    fn new() -> Setting {
        let mercurial = mercurials().pop().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        let mut options = Options::new(&mercurial, &["one", "two"]);
        let file = victim.display();
        let stop = format!("if test -e {file}; then kill -STOP `cat {file}` && rm {file}; fi");
        options.master = "  log: {durability: Strict}\n".into();
        options.hgrc = format!("[hooks]\npretxnclose.stop = {stop}\n");
        let installation = Installation::start(options);
        let client = Client::new(&installation, &mercurial, "developer");
        client.init("work");
        let url = client.push_url("one");
        for url in [&url, &client.push_url("two")] {
            client.hg("work", &["push", url]).ok();
        }
        Setting { installation, client, url, victim, _folder: folder }
    }

    /// Starts a push, and answers it when it has stopped the standby.
    fn push_that_stops_the_standby(&self) -> Child {
        let new = self.victim.with_extension("new");
        std::fs::write(&new, self.installation.pid("ssh-1").to_string()).unwrap();
        std::fs::rename(new, &self.victim).unwrap();
        let push = self.client.start("work", &["push", &self.url]);
        wait_for("the standby is stopped", || match self.victim.exists() {
            true => Err("the push is not that far".into()),
            false => Ok(()),
        });
        push
    }

    /// Kinds and texts of the master's records.
    fn log(&self) -> String {
        let directory = self.installation.data().join("ssh-0/log/replication");
        self.installation.hgd(&["log", "dump", directory.to_str().unwrap()]).ok()
    }

    fn agrees(&self, acknowledged: Vec<String>) {
        self.installation.settled();
        let pushed = Pushed { path: "one".into(), acknowledged, failures: Vec::new() };
        self.installation.holds(&mercurials().pop().unwrap(), &[pushed]);
    }
}

fn standby_is(installation: &Installation, role: Role) {
    wait_for("the master knows the standby's role", || {
        let status = installation.status();
        let standby = status.instances.iter().find(|instance| instance.name.as_str() == "ssh-1").unwrap();
        if standby.role == role { Ok(()) } else { Err(format!("it is {:?}", standby.role)) }
    });
}

fn refuses(installation: &Installation, expected: Option<Refusal>) {
    wait_for("the master's status says whether it takes pushes", || {
        let refuses = installation.status().log.unwrap().refuses;
        if refuses == expected { Ok(()) } else { Err(format!("{refuses:?}")) }
    });
}

#[test]
fn a_push_waits_for_the_standby() {
    let setting = Setting::new();
    let first = setting.client.tip("work");
    let second = setting.client.commit("work", "file", "second");
    let mut push = setting.push_that_stops_the_standby();
    wait_for("the record is in the master's log", || match setting.log().contains(&second) {
        true => Ok(()),
        false => Err(setting.log()),
    });
    let ended = push.try_wait().unwrap();
    for_good(!ended.is_some_and(|ended| ended.success()), "a push that the standby does not have was acknowledged");
    assert!(ended.is_none(), "the push did not wait for the standby");
    setting.installation.resume("ssh-1");
    let output = push.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("recorded push in pushlog"), "{said}");
    setting.agrees(vec![first, second]);
}

#[test]
fn without_its_standby_a_master_refuses_pushes() {
    let setting = Setting::new();
    let first = setting.client.tip("work");
    setting.installation.pause("ssh-1");
    standby_is(&setting.installation, Role::Unknown);
    let before = setting.log();
    let second = setting.client.commit("work", "file", "second");
    for arguments in [&["push", &setting.url][..], &["push", "-B", "mark", &setting.url]] {
        if arguments.contains(&"-B") {
            setting.client.hg("work", &["bookmark", "-r", &first, "mark"]).ok();
        }
        let said = setting.client.hg("work", arguments).fails();
        assert!(said.contains(NOT_AVAILABLE), "{said}");
    }
    assert_eq!(setting.log(), before, "a refused push left something in the log");
    refuses(&setting.installation, Some(Refusal::StandbyAway));
    assert_eq!(setting.client.remote_tip(&setting.url).unwrap(), first, "reads go on, and show what was acknowledged");

    setting.installation.resume("ssh-1");
    standby_is(&setting.installation, Role::Standby);
    refuses(&setting.installation, None);
    setting.client.hg("work", &["push", "-B", "mark", "-r", "tip", &setting.url]).ok();
    setting.agrees(vec![first, second]);
}

/// Sends no reader away: which mirrors are active stands in its log, of which it may believe nothing before the
/// standby has acknowledged it.
#[test]
fn a_master_that_begins_without_its_standby_sends_no_reader_away() {
    let setting = Setting::new();
    let installation = &setting.installation;
    let registry = RegistryClient::new(installation);
    installation.settled();
    installation.pause("ssh-1");
    installation.kill("ssh-0");
    let asked = serde_json::json!({"serving": []});
    wait_for("the new master says that it does not know", || match registry.tell("/v1/endpoints", &asked) {
        Err(error) if error.status().is_some_and(|status| status == 503) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let service = format!("{}/one", setting.client.http);
    assert_eq!(setting.client.remote_tip(&service).unwrap(), setting.client.tip("work"));
    installation.resume("ssh-1");
    installation.settled();
    assert_eq!(setting.client.remote_tip(&service).unwrap(), setting.client.tip("work"));
}

/// Nobody waits without end: neither whose record the standby does not have, nor who comes after it, nor who pushes
/// elsewhere.
#[test]
fn after_the_append_the_outcome_is_unknown_and_nothing_is_lost() {
    let setting = Setting::new();
    let (client, two) = (&setting.client, setting.client.push_url("two"));
    let first = client.tip("work");
    let [third, fourth] = ["next", "other"].map(|copy| {
        client.hg("", &["clone", "work", copy]).ok();
        client.commit(copy, copy, copy)
    });
    let second = client.commit("work", "file", "second");
    let recorded = setting.push_that_stops_the_standby();
    wait_for("the record is in the master's log", || match setting.log().contains(&second) {
        true => Ok(()),
        false => Err(setting.log()),
    });
    let next = client.start("next", &["push", "--force", &setting.url]);
    standby_is(&setting.installation, Role::Unknown);
    let other = client.start("other", &["push", &two]);
    for later in [other, next] {
        is_told(later, NOT_AVAILABLE);
    }
    is_told(recorded, OUTCOME_UNKNOWN);
    assert!(setting.log().contains(&second) && !setting.log().contains(&third));
    assert_eq!(client.remote_tip(&setting.url).unwrap(), first, "what is not committed is not shown");

    setting.installation.resume("ssh-1");
    wait_for("the record is committed and applied", || {
        let there = client.remote_tip(&setting.url)?;
        if there == second { Ok(()) } else { Err(there) }
    });
    client.hg("next", &["push", "--force", &setting.url]).ok();
    client.hg("other", &["push", &two]).ok();
    assert_eq!(client.remote_tip(&two).unwrap(), fourth);
    setting.agrees(vec![first, second, third]);
}

/// The push ends by itself, unacknowledged, with this sentence.
#[track_caller]
fn is_told(mut push: Child, sentence: &str) {
    wait_for(sentence, || push.try_wait().unwrap().ok_or("the push waits".to_owned()));
    let output = push.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(sentence), "{said}");
}
