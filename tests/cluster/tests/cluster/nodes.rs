//! A node is cut off and comes back.

use cluster::{Cluster, Developer, LIMIT};
use scenarios::wait_longer_for;

const NODE: &str = "n3";

pub fn a_node_is_cut_off(cluster: &Cluster, developer: &mut Developer) {
    cluster.kubectl("scale mirrorpool/web --replicas=4");
    cluster.mirrors_are_active(4);
    let pods = cluster.pods("web").unwrap();
    let number = |name: &str| name.rsplit('-').next().unwrap().parse::<usize>().unwrap();
    let (there, here): (Vec<_>, Vec<_>) = pods.into_iter().partition(|(_, pod)| pod.node == NODE);
    let numbers = |pods: &[(String, cluster::Pod)]| pods.iter().map(|(name, _)| number(name)).collect::<Vec<_>>();
    let (there, here) = (numbers(&there), numbers(&here));
    assert!(!there.is_empty() && !here.is_empty(), "{there:?}, {here:?}");
    assert!(cluster.pods("hg").unwrap().values().all(|pod| pod.node != NODE));

    cluster.link(NODE, "down");
    // Acknowledged at once: mirrors are no part of a commit.
    let tip = developer.push();
    wait_longer_for(LIMIT, "the mirrors there have left the Service", || {
        let endpoints = cluster.endpoints("web-http")?;
        let left = there.iter().all(|number| !endpoints.contains(&format!("web-mirror-{number}")));
        if left && endpoints.len() == here.len() { Ok(()) } else { Err(format!("{endpoints:?}")) }
    });
    // Shown: publication does not wait for those that have left.
    developer.shown(cluster, &here, &tip);
    let tip = developer.push();
    developer.shown(cluster, &here, &tip);
    developer.nothing_is_lost();
    let replicating = cluster.condition("mirrorpool/web", "Replicating").unwrap();
    assert_eq!(replicating.status, "False", "{replicating:?}");

    cluster.link(NODE, "up");
    cluster.mirrors_are_active(4);
    developer.shown(cluster, &[0, 1, 2, 3], &tip);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1, 2, 3], &tip);
    cluster.kubectl("scale mirrorpool/web --replicas=2");
    cluster.mirrors_are_active(2);
}
