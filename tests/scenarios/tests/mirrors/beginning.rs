//! A mirror without a disk, and after each start.

use scenarios::{Client, Developers, Installation, KeepAlive, Options, RegistryClient, wait_for};

use crate::{is_active, lose_disk, newest, told};

const SNAPSHOT: &str = "starting from the master's snapshot";

#[test]
fn a_mirror_that_lost_its_disk_comes_back_while_pushes_go_on() {
    let mut installation = Installation::start(Options::new(&newest(), &["one", "draft/two"]));
    let developers = Developers::start(&installation, &newest(), &["one", "draft/two"]);
    developers.go_on(2);
    let before = told(&installation, "mirror-1", SNAPSHOT);
    lose_disk(&installation, "mirror-1");
    developers.go_on(4);
    wait_for("it begins anew", || match told(&installation, "mirror-1", SNAPSHOT) {
        now if now > before => Ok(()),
        now => Err(format!("{now} snapshots")),
    });
    wait_for("it is active", || is_active(&installation, "mirror-1"));
    developers.go_on(2);
    let pushed = developers.stop();
    installation.settled();
    installation.holds(&newest(), &pushed);

    installation.stop();
    std::fs::remove_dir_all(installation.data().join("mirror-0")).unwrap();
    installation.start_again();
    installation.settled();
    installation.holds(&newest(), &pushed);
}

/// Answers what its `/readyz` would say now.
fn says_ready(installation: &Installation, registry: &RegistryClient, name: &str) -> Result<bool, String> {
    let status: serde_json::Value = registry.get(installation, name, "/status.json").map_err(|e| e.to_string())?;
    Ok(status["ready"].as_bool().unwrap())
}

/// Never left the active set: nobody says again that it is in it, for which its readiness would wait.
#[test]
fn a_mirror_that_lost_its_disk_before_it_was_missed_is_ready_again() {
    let installation = Installation::start(Options::new(&newest(), &["one"]));
    let registry = RegistryClient::new(&installation);
    let client = Client::new(&installation, &newest(), "developer");
    client.init("work");
    client.hg("work", &["push", &client.push_url("one")]).ok();
    installation.settled();

    let before = told(&installation, "mirror-1", SNAPSHOT);
    lose_disk(&installation, "mirror-1");
    wait_for("it begins anew", || match told(&installation, "mirror-1", SNAPSHOT) {
        now if now > before => Ok(()),
        now => Err(format!("{now} snapshots")),
    });
    wait_for("it is ready", || match says_ready(&installation, &registry, "mirror-1") {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(told(&installation, "ssh-0", "mirror inactive"), 0, "it was missed: the test shows nothing");
    let url = format!("{}/one", installation.ready().mirrors[1]);
    assert_eq!(client.remote_tip(&url).unwrap(), client.tip("work"));
    let second = client.commit("work", "file", "second");
    client.hg("work", &["push", &client.push_url("one")]).ok();
    installation.settled();
    assert_eq!(client.remote_tip(&url).unwrap(), second);
}

#[test]
fn a_mirror_is_not_ready_after_a_start_until_it_has_caught_up() {
    let installation = Installation::start(Options::new(&newest(), &["one"]));
    let registry = RegistryClient::new(&installation);
    let client = Client::new(&installation, &newest(), "developer");
    let ready = |name: &str| says_ready(&installation, &registry, name);
    client.init("work");
    client.hg("work", &["push", &client.push_url("one")]).ok();
    installation.settled();
    assert_eq!(ready("mirror-1"), Ok(true));

    installation.pause("mirror-1");
    let second = client.commit("work", "file", "second");
    client.hg("work", &["push", &client.push_url("one")]).ok();
    // Without a master it cannot know how far it has to catch up.
    installation.pause("ssh-0");
    installation.kill("mirror-1");
    let mut reader = KeepAlive::new(&installation.ready().mirrors[1]);
    assert!(!wait_for("an answer", || {
        is_never_said_not_to_exist(&mut reader);
        ready("mirror-1")
    }));
    let refused = registry.get::<serde_json::Value>(&installation, "mirror-1", "/readyz").unwrap_err().to_string();
    assert!(refused.contains("does not show everything"), "{refused}");
    installation.resume("ssh-0");
    wait_for("it is ready", || {
        is_never_said_not_to_exist(&mut reader);
        match ready("mirror-1") {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let shown = client.remote_tip(&format!("{}/one", installation.ready().mirrors[1])).unwrap();
    wait_for("both mirrors are active", || is_active(&installation, "mirror-1"));
    // Ready means: everything that was released. The second push may not have been, since it waited for this mirror.
    installation.settled();
    assert!(shown == second || shown == client.hg("work", &["log", "-r", "0", "-T", "{node}"]).ok());
    assert_eq!(client.remote_tip(&format!("{}/one", installation.ready().mirrors[1])).unwrap(), second);
}

/// While a mirror starts, its peers answer for it, or it says that one has to try again.
fn is_never_said_not_to_exist(reader: &mut KeepAlive) {
    // It may not listen yet.
    let Ok(answer) = reader.get("/one?cmd=heads", &[]) else { return };
    let again = answer.header("retry-after").is_some();
    assert!(answer.status == 200 || (answer.status == 503 && again), "{}: {}", answer.status, answer.text());
}
