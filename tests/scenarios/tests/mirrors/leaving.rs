//! A mirror that is stopped for good, and one repository that is in a mirror's way.

use protocol::status::{MirrorState, Status};
use scenarios::{Client, Installation, Options, RegistryClient, wait_for};

use crate::{is_active, mirror, newest, repository};

/// Pushes, and waits until that is published though `name` is not there.
fn publishes_without(installation: &Installation, client: &Client, name: &str) {
    let tip = client.commit("work", "file", &format!("without {name} {}", installation.next_number()));
    client.hg("work", &["push", &client.push_url("one")]).ok();
    wait_for("publication goes on", || {
        let (one, left) = (repository(installation, "one"), mirror(installation, name));
        let newest = installation.status().instances.iter().map(|instance| instance.applied).max().unwrap();
        let published = one.tip.is_some_and(|known| known.to_string() == tip) && one.published == newest;
        if published && left.state != MirrorState::Active { Ok(()) } else { Err(format!("{one:?} {left:?}")) }
    });
    assert_eq!(client.remote_tip(&format!("{}/one", client.http)).unwrap(), tip);
    let log = std::fs::read_to_string(installation.data().join("logs/balancer.log")).unwrap();
    let used = log.lines().rfind(|line| line.contains("endpoints in use")).unwrap();
    assert!(!used.contains(name), "the balancer still uses it: {used}");
}

#[test]
fn a_mirror_that_is_stopped_for_good_leaves_and_returns() {
    let mut options = Options::new(&newest(), &["one"]);
    options.pool = "  maxLag: {seconds: 2}\n".into();
    let installation = Installation::start(options);
    let client = Client::new(&installation, &newest(), "developer");
    client.init("work");
    installation.pause("mirror-1");
    publishes_without(&installation, &client, "mirror-1");
    installation.resume("mirror-1");
    installation.settled();

    // A program that cannot start: the supervisor tries in vain.
    let config = installation.data().join("config/mirror-0.json");
    let good = std::fs::read(&config).unwrap();
    std::fs::write(&config, "{").unwrap();
    installation.kill("mirror-0");
    publishes_without(&installation, &client, "mirror-0");
    std::fs::write(&config, good).unwrap();
    installation.settled();
}

/// Tells whose push it is, and that the log has grown.
fn the_push_is_told(installation: &Installation, before: &Status) {
    let row = |status: &Status| status.repositories[0].last_push.clone().expect("somebody has pushed");
    let now = installation.status();
    assert_eq!((row(before).id.0, row(&now).id.0), (1, 2));
    assert_eq!(row(&now).user.as_str(), installation.ready().ssh.user);
    assert!(row(&now).at > row(before).at);
    let (before, now) = (before.log.unwrap(), now.log.unwrap());
    assert_eq!(now.start.0, 1);
    assert!(now.committed > before.committed && now.bytes > before.bytes, "{before:?} {now:?}");
}

#[test]
fn the_last_mirror_does_not_leave() {
    let mut options = Options::new(&newest(), &["one"]);
    options.mirrors = 1;
    options.pool = "  maxLag: {seconds: 2}\n".into();
    let installation = Installation::start(options);
    let client = Client::new(&installation, &newest(), "developer");
    client.init("work");
    client.hg("work", &["push", &client.push_url("one")]).ok();
    let before = installation.settled();
    assert_eq!(mirror(&installation, "mirror-0").lag_seconds, 0);
    installation.pause("mirror-0");
    client.commit("work", "file", "second");
    client.hg("work", &["push", &client.push_url("one")]).ok();
    the_push_is_told(&installation, &before);
    wait_for("the master has missed it", || match mirror(&installation, "mirror-0").state {
        MirrorState::Unreachable => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(repository(&installation, "one").published, before.repositories[0].published);
    wait_for("its lag is told", || match mirror(&installation, "mirror-0").lag_seconds {
        2.. => Ok(()),
        seconds => Err(format!("{seconds} seconds")),
    });
    installation.resume("mirror-0");
    installation.settled();
}

/// Pushes to both, and waits until the other one is published while `held` is not.
fn only_itself_waits(installation: &Installation, client: &Client, held: &str, other: &str) {
    for (path, work) in [(held, "held"), (other, "other")] {
        client.commit(work, "file", &format!("change {}", installation.next_number()));
        client.hg(work, &["push", &client.push_url(path)]).ok();
    }
    let tip = client.tip("other");
    let mirror = format!("{}/{other}", installation.ready().mirrors[0]);
    wait_for("the other one is published", || {
        let shown = client.remote_tip(&mirror)?;
        let published = repository(installation, other).published;
        let newest = installation.status().instances.iter().map(|instance| instance.applied).max().unwrap();
        if shown == tip && published == newest { Ok(()) } else { Err(format!("{shown} {published} of {newest}")) }
    });
}

#[test]
fn a_slow_repository_delays_only_itself() {
    let installation = Installation::start(Options::new(&newest(), &["slow", "other"]));
    let client = Client::new(&installation, &newest(), "developer");
    client.init("held");
    client.init("other");
    for (path, work) in [("slow", "held"), ("other", "other")] {
        client.hg(work, &["push", &client.push_url(path)]).ok();
    }
    installation.settled();
    let id = RegistryClient::new(&installation).id("slow");
    let folder = installation.data().join("mirror-0/repositories").join(id.directory());
    let mut holder = client.start(&folder, &["debuglocks", "--set-lock", "--set-wlock"]);
    wait_for("somebody holds the lock", || match folder.join(".hg/store/lock").is_symlink() {
        true => Ok(()),
        false => Err("not yet".into()),
    });
    only_itself_waits(&installation, &client, "slow", "other");
    let held = repository(&installation, "slow");
    assert_ne!(client.remote_tip(&format!("{}/slow", installation.ready().mirrors[0])).unwrap(), client.tip("held"));
    assert!(held.published < repository(&installation, "other").published, "{held:?}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    installation.settled();
}

#[test]
fn a_broken_repository_delays_only_itself_and_is_mended() {
    for damaged in ["00changelog.i", "hg-operator-state"] {
        let installation = Installation::start(Options::new(&newest(), &["broken", "other"]));
        let client = Client::new(&installation, &newest(), "developer");
        client.init("held");
        client.init("other");
        for (path, work) in [("broken", "held"), ("other", "other")] {
            client.hg(work, &["push", &client.push_url(path)]).ok();
        }
        installation.settled();
        let id = RegistryClient::new(&installation).id("broken");
        let folder = installation.data().join("mirror-0/repositories").join(id.directory());
        std::fs::write(folder.join(".hg/store").join(damaged), b"this is no index").unwrap();
        only_itself_waits(&installation, &client, "broken", "other");
        installation.settled();
        wait_for("it is active", || is_active(&installation, "mirror-0"));
        let shown = client.remote_tip(&format!("{}/broken", installation.ready().mirrors[0])).unwrap();
        assert_eq!(shown, client.tip("held"));
    }
}
