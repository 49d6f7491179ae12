//! A part of the network is cut, or the API server does not answer: the master lives, is seen by somebody, and stays.

use std::time::{Duration, Instant};

use cluster::{Cluster, Developer, LIMIT, Pod, Reader};
use scenarios::wait_longer_for;
use serde_json::Value;

use crate::promotion::in_sync;

/// Twice as long as a master is silent before it is suspected.
const LONG: Duration = Duration::from_secs(6);
const A_MINUTE: Duration = Duration::from_secs(60);

/// Pushes wait until the standby has left the in-sync set, and go on without it.
pub fn a_master_without_its_standby(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, |cluster, developer, master| {
        let standby = pod(cluster, &cluster.role("standby").unwrap());
        let _blocked = cluster.block(master, &standby.address);
        developer.push_when_possible();
        wait_longer_for(LIMIT, "the standby has left the in-sync set", || {
            let ready = cluster.condition("sshmaster/hg", "PromotionReady")?;
            if ready.status == "False" { Ok(()) } else { Err(format!("{ready:?}")) }
        });
        pushes_for(LONG, developer);
    });
}

/// It cannot change the register, and need not.
pub fn a_master_without_the_api_server(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, |cluster, developer, master| {
        let _blocked = cluster.block(master, &cluster.api_server().unwrap());
        pushes_for(LONG, developer);
    });
}

/// The standby hears it, which is one of the two ways.
pub fn a_master_without_the_operator(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, |cluster, developer, master| {
        let operators = cluster.operators().unwrap();
        assert!(!operators.is_empty());
        let _blocked: Vec<_> = operators.values().map(|operator| cluster.block(operator, &master.address)).collect();
        pushes_for(LONG, developer);
        wait_longer_for(LIMIT, "the condition tells it", || {
            let ready = cluster.condition("sshmaster/hg", "PromotionReady")?;
            if ready.message.contains("one of two paths") { Ok(()) } else { Err(format!("{ready:?}")) }
        });
        pushes_for(LONG, developer);
    });
}

/// Frozen, so that whoever asks waits. Nobody is promoted without it, and nobody needs to be.
pub fn nobody_has_an_api_server(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, |cluster, developer, _| {
        let _frozen = cluster.freeze_api_server();
        pushes_for(A_MINUTE, developer);
    });
}

/// Everybody is in sync, `trouble` goes on for a while, and then all is as before: the same master of the same reign.
fn stays(cluster: &Cluster, developer: &mut Developer, trouble: impl FnOnce(&Cluster, &mut Developer, &Pod)) {
    in_sync(cluster);
    let reader = Reader::start(cluster);
    let before = register(cluster);
    let master = pod(cluster, before["spec"]["holderIdentity"].as_str().unwrap());
    trouble(cluster, developer, &master);
    reader.is_content();
    in_sync(cluster);
    let after = register(cluster);
    let who = |register: &Value| {
        let generation = register["metadata"]["annotations"]["hg-operator.dev/generation"].as_str();
        let holder = register["spec"]["holderIdentity"].as_str();
        (holder.unwrap().to_owned(), generation.unwrap().to_owned())
    };
    assert_eq!(who(&after), who(&before));
    let tip = developer.push();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
}

fn register(cluster: &Cluster) -> Value {
    wait_longer_for(LIMIT, "the register", || cluster.get("lease/hg"))
}

fn pod(cluster: &Cluster, name: &str) -> Pod {
    wait_longer_for(LIMIT, name, || cluster.pods("hg")?.remove(name).ok_or(format!("there is no pod {name}")))
}

/// Each of them is acknowledged at once.
fn pushes_for(time: Duration, developer: &mut Developer) {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < time {
        developer.push();
        count += 1;
    }
    eprintln!("  {count} pushes");
}
