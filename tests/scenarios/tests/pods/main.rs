//! An installation as Kubernetes runs it, on this machine: `hgd ssh` and `hgd mirror` in containers (mount namespaces)
//! with what the operator gives them. Needs root, to give root up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_server;
mod cluster;
mod pod;

use std::time::{Duration, Instant};

use protocol::status::MirrorState;
use scenarios::{wait_for, wait_longer_for};

use crate::cluster::{Cluster, NAMES};

/// Starts all pods and makes the Lease; ready means that the mirror serves.
fn started(hgrc: &str) -> Cluster {
    let mut cluster = Cluster::new(hgrc);
    cluster.api.make_lease("hg-ssh-0", "hg-ssh-1");
    for pod in cluster.pods.values_mut() {
        pod.start();
    }
    for name in ["hg-ssh-0", "hg-ssh-1"] {
        wait_for(name, || cluster.pods[name].probe("/readyz"));
    }
    cluster
}

#[test]
fn probes_tell_life_from_readiness() {
    let mut cluster = Cluster::new("");
    cluster.pods.get_mut("hg-ssh-0").unwrap().start();
    wait_for("life", || cluster.pods["hg-ssh-0"].probe("/healthz"));
    wait_for("the reason", || {
        let said = cluster.pods["hg-ssh-0"].probe("/readyz").unwrap_err();
        if said.contains("503") { Ok(()) } else { Err(said) }
    });
    cluster.api.make_lease("hg-ssh-0", "hg-ssh-1");
    wait_for("the master", || cluster.pods["hg-ssh-0"].probe("/readyz"));
    assert_eq!(cluster.api.generation(), "1");

    // It gives the operator time to name another one.
    let asked = Instant::now();
    cluster.pods.get_mut("hg-ssh-0").unwrap().terminate();
    assert_eq!(cluster.pods.get_mut("hg-ssh-0").unwrap().ended().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());

    // Neither the standby nor the mirror has a master now: they live, and are not ready.
    for name in ["hg-ssh-1", "web-mirror-0"] {
        cluster.pods.get_mut(name).unwrap().start();
        wait_for(name, || cluster.pods[name].probe("/healthz"));
        assert!(cluster.pods[name].probe("/readyz").unwrap_err().contains("503"));
    }
    cluster.pods.get_mut("hg-ssh-0").unwrap().start();
    for name in ["hg-ssh-0", "hg-ssh-1"] {
        wait_for(name, || cluster.pods[name].probe("/readyz"));
    }
    assert_eq!(cluster.api.generation(), "2");
}

#[test]
fn an_installation_runs_without_root_on_a_read_only_root() {
    let cluster = started("");
    cluster.create("a/b");
    let client = cluster.client("developer@example.com");
    client.init("work");
    client.hg("work", &["push", &client.push_url("a/b")]).ok();
    let (master, mirror) = (&cluster.pods["hg-ssh-0"], &cluster.pods["web-mirror-0"]);

    // The operator finds out that the mirror may serve, says that it does, and then it counts.
    wait_for("an endpoint", || {
        let endpoints = cluster.report(&[]);
        let expected = vec![("web-mirror-0".to_owned(), cluster.advertised("web-mirror-0"))];
        if endpoints == expected { Ok(()) } else { Err(format!("{endpoints:?}")) }
    });
    wait_for("the mirror is ready", || mirror.probe("/readyz"));
    cluster.report(&["web-mirror-0"]);
    let tip = client.tip("work");
    wait_for("the mirror shows it", || {
        let shown = client.remote_tip(&format!("{}/a/b", client.http))?;
        if shown == tip { Ok(()) } else { Err(shown) }
    });
    client.hg("", &["clone", &format!("{}/a/b", client.http), "copy"]).ok();
    assert_eq!(client.tip("copy"), tip);

    assert_eq!(master.metric(r#"hg_operator_role{role="master"}"#), Some(1.0));
    assert_eq!(master.metric(r#"hg_operator_pushes_total{outcome="recorded"}"#), Some(1.0));
    assert_eq!(master.metric("hg_operator_push_append_seconds_count"), Some(1.0));
    assert_eq!(master.metric("hg_operator_in_sync_standbys_connected"), Some(1.0));
    assert_eq!(master.metric("hg_operator_mirrors_active"), Some(1.0));
    assert_eq!(master.metric("hg_operator_generation"), Some(1.0));
    let committed = master.metric(r#"hg_operator_log_committed_offset{log="replication"}"#);
    assert_eq!(committed, Some(3.0), "a generation, a repository, a push");
    assert_eq!(cluster.pods["hg-ssh-1"].metric(r#"hg_operator_role{role="standby"}"#), Some(1.0));
    wait_for("the standby applies", || match cluster.pods["hg-ssh-1"].metric("hg_operator_applied_offset") {
        Some(3.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(mirror.metric("hg_operator_shown_offset"), Some(3.0));

    // The kubelet replaces a secret under the running pod.
    let other = cluster.client("other@example.com");
    client.commit("work", "file", "second");
    let url = other.push_url("a/b");
    let work = client.folder.join("work");
    other.hg(&work, &["push", &url]).fails();
    cluster.let_in(&["other@example.com"]);
    wait_for("the new account", || {
        let pushed = other.hg(&work, &["push", &url]);
        if pushed.code == Some(0) { Ok(()) } else { Err(pushed.stderr) }
    });
    client.commit("work", "file", "third");
    client.hg("work", &["push", &client.push_url("a/b")]).fails();
}

#[test]
fn a_mirror_that_was_scaled_away_is_not_waited_for() {
    let mut cluster = started("");
    cluster.create("a/b");
    let client = cluster.client("developer@example.com");
    client.init("work");
    let url = client.push_url("a/b");
    client.hg("work", &["push", &url]).ok();
    let is_published = |cluster: &Cluster| {
        let status = cluster.status();
        let newest = status.log.unwrap().committed;
        let published = status.repositories[0].published;
        if published == newest { Ok(status) } else { Err(format!("{published} of {newest}")) }
    };
    wait_for("the mirror is active and shows it", || {
        let status = is_published(&cluster)?;
        cluster.report(&["web-mirror-0"]);
        match status.mirrors.iter().any(|mirror| mirror.state == MirrorState::Active) {
            true => Ok(()),
            false => Err(format!("{:?}", status.mirrors)),
        }
    });
    let mirror = cluster.pods.get_mut("web-mirror-0").unwrap();
    mirror.terminate();
    mirror.ended();
    client.commit("work", "file", "second");
    client.hg("work", &["push", &url]).ok();
    wait_for("it is missed", || {
        cluster.report(&[]);
        let mirrors = cluster.status().mirrors;
        let missed = mirrors.iter().all(|mirror| mirror.state == MirrorState::Unreachable);
        if missed { Ok(()) } else { Err(format!("{mirrors:?}")) }
    });
    cluster.report(&[]);
    cluster.report(&[]);
    assert!(is_published(&cluster).is_err(), "the last mirror is waited for while it shall be");
    wait_for("nobody waits for it any more", || {
        cluster.report_of(&[], &[]);
        let mirrors = is_published(&cluster)?.mirrors;
        if mirrors.is_empty() { Ok(()) } else { Err(format!("{mirrors:?}")) }
    });
}

#[test]
fn a_running_push_ends_before_its_pod() {
    let mut cluster = started("[hooks]\npretxnchangegroup.slow = touch .hg/pushing && sleep 4\n");
    cluster.create("a/b");
    let client = cluster.client("developer@example.com");
    client.init("work");
    let url = client.push_url("a/b");
    let push = client.start("work", &["push", &url]);
    wait_for("the push is in its transaction", || match cluster.pods["hg-ssh-0"].has_in_a_repository("pushing") {
        true => Ok(()),
        false => Err("its hook has not begun".to_owned()),
    });
    let begun = Instant::now();
    cluster.pods.get_mut("hg-ssh-0").unwrap().terminate();
    wait_longer_for(Duration::from_secs(3), "the pod leaves its Service", || {
        let said = cluster.pods["hg-ssh-0"].probe("/readyz");
        if said.is_err() { Ok(()) } else { Err("still ready".to_owned()) }
    });
    client.hg("", &["identify", &url]).fails();
    let pushed = push.wait_with_output().unwrap();
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    assert_eq!(cluster.pods.get_mut("hg-ssh-0").unwrap().ended().code(), Some(0));
    assert!(begun.elapsed() < pod::GRACE, "{:?}", begun.elapsed());

    // The others find nobody to follow, and stop as well.
    for name in &NAMES[1..] {
        cluster.pods.get_mut(name).unwrap().terminate();
        assert_eq!(cluster.pods.get_mut(name).unwrap().ended().code(), Some(0), "{name}");
    }
    cluster.pods.get_mut("hg-ssh-1").unwrap().start();
    cluster.pods.get_mut("hg-ssh-0").unwrap().start();
    let tip = client.tip("work");
    wait_for("the push is there", || {
        let there = client.remote_tip(&url)?;
        if there == tip { Ok(()) } else { Err(there) }
    });
}

/// One that only falls silent is missed after three seconds, in which no push is acknowledged.
#[test]
fn a_standby_is_out_of_the_set_before_its_pod_ends() {
    let mut cluster = started("");
    cluster.create("a/b");
    let client = cluster.client("developer@example.com");
    client.init("work");
    let is_in_sync = |cluster: &Cluster| match cluster.api.in_sync() {
        set if set == "hg-ssh-1" => Ok(()),
        other => Err(other),
    };
    wait_for("the standby is in sync", || is_in_sync(&cluster));
    let standby = cluster.pods.get_mut("hg-ssh-1").unwrap();
    standby.terminate();
    assert_eq!(standby.ended().code(), Some(0));
    assert_eq!(cluster.api.in_sync(), "");
    client.hg("work", &["push", &client.push_url("a/b")]).ok();
    cluster.pods.get_mut("hg-ssh-1").unwrap().start();
    wait_for("it is back", || is_in_sync(&cluster));
}
