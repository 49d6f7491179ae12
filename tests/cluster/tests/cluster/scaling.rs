//! A pool grows and shrinks under a reader and a writer.

use cluster::{Cluster, Developer, Reader};

pub fn two_to_four_to_one(cluster: &Cluster, developer: &mut Developer) {
    let reader = Reader::start(cluster);
    developer.push();
    cluster.kubectl("scale mirrorpool/web --replicas=4");
    developer.push();
    cluster.mirrors_are_active(4);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1, 2, 3], &tip);
    cluster.kubectl("scale mirrorpool/web --replicas=1");
    developer.push();
    cluster.mirrors_are_active(1);
    let tip = developer.push();
    developer.shown(cluster, &[0], &tip);
    developer.nothing_is_lost();
    reader.is_content();
    cluster.kubectl("scale mirrorpool/web --replicas=2");
    cluster.mirrors_are_active(2);
}
