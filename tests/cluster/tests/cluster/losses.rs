//! A master hangs, its process is killed, its volume is gone; a standby is lost.

use cluster::{Cluster, Developer, Reader, eventually};

use crate::partitions::{LEFT, alone};
use crate::promotion::{
    EMPTIED, KILLED, MASTER, SILENT, SLACK, UNPLANNED, at_once, ends_well, in_sync, is_told, kill, pod, promoted,
    replaced,
};

/// Refusals that a push hears which must not be on one disk only: at once, or after one that was recorded when the
/// standby was lost, and that one itself, after a minute.
const REFUSALS: [&str; 3] = ["all writes disabled", "brought up to the replication log", "outcome unknown"];

/// With the Mercurial processes of pushes under way, for as long as another reigns; then all of it goes on.
pub fn a_frozen_master_is_replaced_and_thaws(cluster: &Cluster, developer: &mut Developer) {
    at_once(cluster);
    let reader = Reader::start(cluster);
    let old = cluster.role("master").unwrap();
    let before = pod(cluster, &old);
    let frozen = promoted(cluster, developer, &SILENT, |cluster, _| cluster.freeze(&before));
    assert_eq!(pod(cluster, &old).restarts, before.restarts, "the kubelet waits for longer");
    let tip = developer.push();
    let writing = developer.writer.start();
    drop(frozen);
    in_sync(cluster);
    let after = pod(cluster, &old);
    // The kubelet lets a container that ends again and again wait.
    assert_eq!((&after.uid, after.restarts), (&before.uid, before.restarts), "it begins again in its process");
    // An old master that wakes up is in nobody's way.
    writing.end(&mut developer.writer).stood_still_within(UNPLANNED);
    developer.shown(cluster, &[0, 1], &tip);
    ends_well(cluster, developer);
    assert_ne!(cluster.role("master").unwrap(), old);
    reader.is_content();
}

/// The container is started again at once, and may be there before anybody has missed it: whoever is master then,
/// pushes go on.
pub fn a_masters_process_is_killed(cluster: &Cluster, developer: &mut Developer) {
    at_once(cluster);
    let reader = Reader::start(cluster);
    let (old, begun) = (cluster.role("master").unwrap(), reign(cluster));
    let before = pod(cluster, &old);
    let writing = developer.writer.start();
    cluster.kill_processes(&before);
    let (new, _) = eventually("another reign", || match reign(cluster) {
        (holder, generation) if generation > begun.1 && !holder.is_empty() => Ok((holder, generation)),
        same => Err(format!("{same:?}")),
    });
    writing.end(&mut developer.writer).stood_still_within(UNPLANNED + SLACK);
    eprintln!("  {new} is master, after {old}");
    if new != old {
        is_told(cluster, &old, &new, &KILLED);
    }
    eventually("the container, not the pod, has been started again", || match cluster.pods(MASTER)?.remove(&old) {
        Some(pod) if pod.uid == before.uid && pod.restarts > before.restarts => Ok(()),
        other => Err(format!("{other:?}")),
    });
    ends_well(cluster, developer);
    reader.is_content();
}

/// Holder and generation.
fn reign(cluster: &Cluster) -> (String, u64) {
    let register = eventually("the register", || cluster.get("lease/hg"));
    let generation = register["metadata"]["annotations"]["hg-operator.dev/generation"].as_str().unwrap();
    let holder = register["spec"]["holderIdentity"].as_str().unwrap_or_default();
    (holder.to_owned(), generation.parse().unwrap())
}

/// The pod comes back with another disk, and hence as another instance.
pub fn a_masters_volume_is_emptied(cluster: &Cluster, developer: &mut Developer) {
    // A new volume may be anywhere, and the last node is for mirrors only.
    cluster.kubectl("cordon n3");
    let claim = |name: &str| cluster.get(&format!("pvc/data-{name}")).map(|claim| claim["metadata"]["uid"].clone());
    let mut before = None;
    replaced(cluster, developer, &EMPTIED, |cluster, master| {
        before = Some((master.to_owned(), claim(master).unwrap()));
        // First, so that the next pod waits for another one.
        cluster.kubectl(&format!("delete --wait=false pvc/data-{master}"));
        kill(cluster, master);
    });
    cluster.kubectl("uncordon n3");
    let (name, before) = before.unwrap();
    assert_ne!(claim(&name).unwrap(), before);
}

/// Removes the register. It is made again from what the instances hold, of those that run and of those that start.
pub fn the_register_is_removed(cluster: &Cluster, developer: &mut Developer) {
    at_once(cluster);
    let reader = Reader::start(cluster);
    let writing = developer.writer.start();
    let made_again = |before: u64| {
        eventually("a register of a later generation", || match reign(cluster) {
            (holder, generation) if generation > before && !holder.is_empty() => Ok(()),
            other => Err(format!("{other:?}, before {before}")),
        });
        in_sync(cluster);
    };
    let (_, before) = reign(cluster);
    cluster.kubectl("delete lease/hg");
    made_again(before);
    let (_, before) = reign(cluster);
    let names: Vec<String> = cluster.pods(MASTER).unwrap().keys().map(|name| format!("pod/{name}")).collect();
    cluster.kubectl(&format!("delete --wait=false --grace-period=0 --force lease/hg {}", names.join(" ")));
    made_again(before);
    writing.end(&mut developer.writer);
    ends_well(cluster, developer);
    reader.is_content();
}

/// `Degraded`: the master goes on alone, warns, and takes the standby back.
pub fn a_standby_hangs(cluster: &Cluster, developer: &mut Developer) {
    at_once(cluster);
    let reader = Reader::start(cluster);
    let writing = developer.writer.start();
    let standby = pod(cluster, &cluster.role("standby").unwrap());
    let frozen = cluster.freeze(&standby);
    alone(cluster);
    let said = developer.push_and_listen();
    assert!(said.contains("remote: warning: no standby is in sync"), "{said}");
    let standby_in_sync = cluster.condition("sshmaster/hg", "StandbyInSync").unwrap();
    assert_eq!(standby_in_sync.status, "False", "{standby_in_sync:?}");
    writing.goes_on();
    drop(frozen);
    in_sync(cluster);
    writing.end(&mut developer.writer).stood_still_within(LEFT);
    ends_well(cluster, developer);
    reader.is_content();
}

/// `Strict`: rather no push than one on one disk only.
pub fn a_standby_hangs_and_is_needed(cluster: &Cluster, developer: &mut Developer) {
    durability(cluster, "Strict");
    let reader = Reader::start(cluster);
    let writing = developer.writer.start();
    let standby = pod(cluster, &cluster.role("standby").unwrap());
    let frozen = cluster.freeze(&standby);
    let before = cluster.role("master").unwrap();
    let counts = [(); 2].map(|()| {
        let said = developer.is_refused();
        assert!(REFUSALS.iter().any(|refusal| said.contains(refusal)), "{said}");
        writing.acknowledged()
    });
    assert_eq!(counts[0], counts[1], "acknowledged by one disk");
    drop(frozen);
    writing.end(&mut developer.writer);
    in_sync(cluster);
    assert_eq!(cluster.role("master").unwrap(), before);
    ends_well(cluster, developer);
    reader.is_content();
    durability(cluster, "Degraded");
}

fn durability(cluster: &Cluster, which: &str) {
    cluster.kubectl(&format!(r#"patch sshmaster/hg --type=merge -p {{"spec":{{"log":{{"durability":"{which}"}}}}}}"#));
    cluster.is_ready("sshmaster/hg");
    at_once(cluster);
}
