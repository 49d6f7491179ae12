//! How long a writer's pushes stand still, measured. Only when it is asked for by name: it takes a quarter of an hour.

use std::time::Duration;

use cluster::{Cluster, Developer, Unplugged};

use crate::promotion::{
    MASTER, PLANNED, UNPLANNED, at_once, in_sync, kill, named_instead_of, not_the_first_node, promote,
};

const TIMES: usize = 10;
const AT_ONCE: &str = "--grace-period=0 --force";
/// Names another number.
const OTHER_TIMES: &str = "HGOP_GAPS";

/// Event on the master's node; a cable is plugged in again afterwards.
type Event = for<'a> fn(&'a Cluster, &str, &str) -> Option<Unplugged<'a>>;

const EVENTS: [(&str, Event, Duration); 3] = [
    ("a switchover is asked for", switchover, PLANNED),
    ("the master's pod is killed", killed, UNPLANNED),
    ("the master's node is cut off", cut_off, UNPLANNED),
];

pub fn are_measured(cluster: &Cluster, developer: &mut Developer) {
    let times = std::env::var(OTHER_TIMES).map_or(TIMES, |times| times.parse().expect("HGOP_GAPS is a number"));
    let undisturbed: Vec<f64> =
        (0..times).map(|_| seconds(developer.writer.start().end(&mut developer.writer))).collect();
    let mut table = vec![row("nothing", undisturbed, None)];
    for (what, event, goal) in EVENTS {
        let gaps = (0..times).map(|_| gap(cluster, developer, event)).collect();
        table.push(row(what, gaps, Some(goal)));
    }
    developer.push();
    developer.nothing_is_lost();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let build = std::env::var("HGOP_PROFILE").unwrap_or_else(|_| "debug".to_owned());
    eprintln!(
        "\n| what happens | median | worst | goal for the worst |\n| --- | --- | --- | --- |\n{}",
        table.join("\n")
    );
    eprintln!("\n{times} times each, images of the {build} build; load at the end: {}", load.trim());
}

fn gap(cluster: &Cluster, developer: &mut Developer, event: Event) -> f64 {
    at_once(cluster);
    // Only one that may be cut off, whatever is done to it.
    let node = not_the_first_node(cluster);
    let old = cluster.role("master").unwrap();
    cluster.kubectl(&format!("cordon {node}"));
    let writing = developer.writer.start();
    let undo = event(cluster, &old, &node);
    let named = named_instead_of(cluster, MASTER, &old);
    let gap = seconds(writing.end(&mut developer.writer));
    drop(undo);
    cluster.kubectl(&format!("uncordon {node}"));
    // The kubelet waits longer each time before it starts a container again; not so in another pod.
    cluster.replace(MASTER, &old, AT_ONCE);
    in_sync(cluster);
    promote(cluster, MASTER);
    assert_eq!(named_instead_of(cluster, MASTER, &named), old);
    cluster.replace(MASTER, &named, AT_ONCE);
    gap
}

fn switchover<'a>(cluster: &'a Cluster, _old: &str, _node: &str) -> Option<Unplugged<'a>> {
    promote(cluster, MASTER);
    None
}

fn killed<'a>(cluster: &'a Cluster, old: &str, _node: &str) -> Option<Unplugged<'a>> {
    kill(cluster, old);
    None
}

fn cut_off<'a>(cluster: &'a Cluster, _old: &str, node: &str) -> Option<Unplugged<'a>> {
    Some(cluster.unplug(node))
}

fn seconds(written: cluster::Stretch) -> f64 {
    written.longest_gap.as_secs_f64()
}

fn row(what: &str, mut gaps: Vec<f64>, goal: Option<Duration>) -> String {
    gaps.sort_by(f64::total_cmp);
    let (median, worst) = ((gaps[(gaps.len() - 1) / 2] + gaps[gaps.len() / 2]) / 2.0, gaps[gaps.len() - 1]);
    let judged = goal.map_or_else(String::new, |goal| {
        let met = if worst <= goal.as_secs_f64() { "met" } else { "**missed**" };
        format!("at most {} s: {met}", goal.as_secs())
    });
    format!("| {what} | {median:.2} s | {worst:.2} s | {judged} |")
}
