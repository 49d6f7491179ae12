//! A node is cut off and comes back.

use std::time::{Duration, Instant};

use cluster::{Cluster, Developer, Reader, eventually};

const NODE: &str = "n3";
/// From the cut until no reader is sent to a mirror there: docs/operating/promotion.md says what this is made of.
const MIRRORS_LEAVE: Duration = Duration::from_secs(40);
/// Until the rules of every node say so too.
const RULES: Duration = Duration::from_secs(5);

pub fn a_node_is_cut_off(cluster: &Cluster, developer: &mut Developer) {
    cluster.kubectl("scale mirrorpool/web --replicas=4");
    cluster.mirrors_are_active(4);
    let mirrors = Mirrors::around(cluster, NODE);
    assert!(!mirrors.there.is_empty() && !mirrors.here.is_empty(), "{mirrors:?}");
    assert!(cluster.pods("hg").unwrap().values().all(|pod| pod.node != NODE));

    // Whom the Service leads to one of them.
    cluster.readers_go_to(&cluster.pods("web").unwrap()[&mirrors.one().unwrap()]);
    let reader = Reader::start_impatient(cluster);
    let writing = developer.writer.start();
    let unplugged = cluster.unplug(NODE);
    // Acknowledged at once: mirrors are no part of a commit.
    let tip = developer.push();
    mirrors.are_left(cluster, reader, &tip, developer);
    let tip = developer.push();
    developer.shown(cluster, &mirrors.here, &tip);
    writing.end(&mut developer.writer).stood_still_within(Duration::from_secs(4));
    developer.nothing_is_lost();
    let replicating = cluster.condition("mirrorpool/web", "Replicating").unwrap();
    assert_eq!(replicating.status, "False", "{replicating:?}");

    drop(unplugged);
    cluster.mirrors_are_active(4);
    developer.shown(cluster, &[0, 1, 2, 3], &tip);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1, 2, 3], &tip);
    cluster.kubectl("scale mirrorpool/web --replicas=2");
    cluster.mirrors_are_active(2);
}

/// The elected operator is on that node, and another one elsewhere.
pub fn elects_an_operator_on(cluster: &Cluster, node: &str) {
    let elected = || {
        let lease = cluster.get("lease/hg-operator -n hg-operator")?;
        let name = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        let operators = cluster.operators()?;
        let pod = operators.get(&name).cloned().ok_or_else(|| format!("'{name}' of {operators:?}"))?;
        Ok((name, pod))
    };
    let (first, pod) = eventually("an operator is elected", elected);
    if pod.node == node {
        return;
    }
    let delete = |name: &str| cluster.kubectl(&format!("delete -n hg-operator --wait=false pod/{name}"));
    let are_ready = || {
        let operators = cluster.operators()?;
        let there = operators.values().filter(|operator| operator.ready && operator.node == node).count();
        if (operators.len(), there) == (2, 1) { Ok(()) } else { Err(format!("{operators:?}")) }
    };
    let mut operators = cluster.operators().unwrap();
    operators.remove(&first);
    if operators.values().all(|operator| operator.node != node) {
        cluster.kubectl(&format!("cordon -l kubernetes.io/hostname!={node}"));
        operators.keys().for_each(|name| drop(delete(name)));
        eventually("another operator is there", are_ready);
        cluster.kubectl(&format!("uncordon -l kubernetes.io/hostname!={node}"));
    }
    cluster.kubectl(&format!("cordon {node}"));
    delete(&first);
    eventually("the operator there is elected", || {
        let (_, pod) = elected()?;
        if pod.node == node { are_ready() } else { Err(format!("{pod:?}")) }
    });
    cluster.kubectl(&format!("uncordon {node}"));
}

/// Mirrors of the pool, by number.
#[derive(Debug)]
pub struct Mirrors {
    /// On the node in question.
    there: Vec<usize>,
    here: Vec<usize>,
}

impl Mirrors {
    pub fn around(cluster: &Cluster, node: &str) -> Mirrors {
        let pods = cluster.pods("web").unwrap();
        let number = |name: &str| name.rsplit('-').next().unwrap().parse::<usize>().unwrap();
        let (there, here): (Vec<_>, Vec<_>) = pods.into_iter().partition(|(_, pod)| pod.node == node);
        let numbers = |pods: &[(String, cluster::Pod)]| pods.iter().map(|(name, _)| number(name)).collect();
        Mirrors { there: numbers(&there), here: numbers(&here) }
    }

    /// Their node has been cut off. A reader who asks one of them has no answer until it has left the Service, and
    /// every answer after that; publication does not wait for it any longer either.
    pub fn are_left(&self, cluster: &Cluster, reader: Reader, tip: &str, developer: &Developer) {
        let begun = Instant::now();
        eventually("the mirrors there have left the Service", || {
            let endpoints = cluster.endpoints("web-http")?;
            let left = self.there.iter().all(|number| !endpoints.contains(&format!("web-mirror-{number}")));
            if left && endpoints.len() == self.here.len() { Ok(()) } else { Err(format!("{endpoints:?}")) }
        });
        let left = Instant::now();
        eprintln!("  mirrors {:?} have left after {:.1?}", self.there, begun.elapsed());
        developer.shown(cluster, &self.here, tip);
        reader.reads_on_until(left + 2 * RULES);
        reader.was_cut_off_for(MIRRORS_LEAVE, left + RULES);
    }

    /// Any of those on the node.
    pub fn one(&self) -> Option<String> {
        self.there.first().map(|number| format!("web-mirror-{number}"))
    }
}
