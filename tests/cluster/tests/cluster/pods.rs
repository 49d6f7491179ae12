//! Pods go, with and without their volumes, and come back.

use cluster::{Cluster, Developer, Reader, eventually};

pub fn a_mirror_comes_back(cluster: &Cluster, developer: &mut Developer) {
    let reader = Reader::start(cluster);
    cluster.replace("web", "web-mirror-1", "");
    cluster.mirrors_are_active(2);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1], &tip);

    let claim = || Ok::<_, String>(cluster.get("pvc/data-web-mirror-1")?["metadata"]["uid"].clone());
    let before = claim().unwrap();
    cluster.replace("web", "web-mirror-1", "pvc/data-web-mirror-1");
    assert_ne!(before, claim().unwrap());
    cluster.mirrors_are_active(2);
    developer.shown(cluster, &[0, 1], &tip);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1], &tip);
    reader.is_content();
}

pub fn the_standby_comes_back(cluster: &Cluster, developer: &mut Developer) {
    let standby = cluster.role("standby").unwrap();
    comes_back(cluster, developer, &standby, "");
    // Without its disk it is a newcomer, which acknowledges nothing new before it has everything old.
    let claim = format!("pvc/data-{standby}");
    let before = cluster.get(&claim).unwrap()["metadata"]["uid"].clone();
    // A new volume may be anywhere, and the last node is for mirrors only.
    cluster.kubectl("cordon n3");
    comes_back(cluster, developer, &standby, &claim);
    cluster.kubectl("uncordon n3");
    assert_ne!(before, cluster.get(&claim).unwrap()["metadata"]["uid"]);
    assert_eq!(cluster.role("standby").unwrap(), standby);
}

pub fn the_master_comes_back(cluster: &Cluster, developer: &mut Developer) {
    let master = cluster.role("master").unwrap();
    comes_back(cluster, developer, &master, "");
}

/// Readers notice nothing, pushes wait, and what was acknowledged is there.
fn comes_back(cluster: &Cluster, developer: &mut Developer, pod: &str, also: &str) {
    let reader = Reader::start(cluster);
    developer.push();
    let before = cluster.pods("hg").unwrap()[pod].uid.clone();
    cluster.kubectl(&format!("delete --wait=false pod/{pod} {also}"));
    let mut pushes = 0;
    eventually(&format!("another {pod} is ready"), || {
        developer.push_when_possible();
        pushes += 1;
        match cluster.pods("hg")?.remove(pod) {
            Some(pod) if pod.uid != before && pod.ready => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    eprintln!("  {pushes} pushes meanwhile");
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    for resource in ["sshmaster/hg", "mirrorpool/web", "hgrepository/hello"] {
        cluster.is_ready(resource);
    }
    reader.is_content();
}
