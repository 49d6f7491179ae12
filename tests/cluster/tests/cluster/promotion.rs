//! The master is lost, or is to be another: a standby takes its place by itself, while a writer writes and readers
//! read, and nothing acknowledged is lost.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cluster::{Cluster, Developer, Pod, Reader, eventually};

use crate::nodes::{Mirrors, elects_an_operator_on};

/// How long a writer's pushes stand still at most (design, section 7), with the defaults.
pub const PLANNED: Duration = Duration::from_secs(2);
pub const UNPLANNED: Duration = Duration::from_secs(6);
/// Slack that two processors that run everything, unoptimised, may add: a push alone takes a good part of it.
pub const SLACK: Duration = Duration::from_millis(500);
/// Everything of the control plane is there: it is not cut off.
pub const FIRST_NODE: &str = "n1";
/// The quickstart's.
pub const MASTER: &str = "hg";

/// Change of the master, as it is expected.
pub struct Change {
    pub budget: Duration,
    /// One of these, and the end of the proof, stand in `status.lastPromotion`.
    pub reasons: &'static [&'static str],
    pub proof: &'static str,
}

const SILENCE: &str = "the master is silent";
const END: &str = "the master's process has ended";
const SEALED: &str = "is sealed";
pub const ASKED: Change = Change { budget: PLANNED, reasons: &["a switchover was asked for"], proof: SEALED };
/// Killed: what is missed first is its process, its answers, or that it still leads while it ends.
pub const KILLED: Change =
    Change { budget: UNPLANNED, reasons: &[END, SILENCE, "the master that was named has not opened"], proof: SEALED };
pub const SILENT: Change = Change { budget: UNPLANNED, reasons: &[SILENCE], proof: SEALED };
pub const EMPTIED: Change = Change {
    budget: UNPLANNED,
    reasons: &["the master has come back with another disk", END, SILENCE],
    proof: SEALED,
};

pub fn a_killed_master_is_replaced(cluster: &Cluster, developer: &mut Developer) {
    is_killed_for_good(cluster, developer);
}

/// The second one is killed as soon as it could be lost.
pub fn two_masters_are_killed_in_a_row(cluster: &Cluster, developer: &mut Developer) {
    for _ in 0..2 {
        is_killed_for_good(cluster, developer);
    }
}

/// Kills the master so that its next pod, which might still be it, finds no node before another one is master.
fn is_killed_for_good(cluster: &Cluster, developer: &mut Developer) {
    at_once(cluster);
    let master = cluster.role("master").unwrap();
    let node = node(cluster, MASTER, &master);
    let reader = Reader::start(cluster);
    cluster.kubectl(&format!("cordon {node}"));
    promoted(cluster, developer, &KILLED, kill);
    cluster.kubectl(&format!("uncordon {node}"));
    ends_well(cluster, developer);
    reader.is_content();
}

pub fn a_switchover_is_asked_for(cluster: &Cluster, developer: &mut Developer) {
    replaced(cluster, developer, &ASKED, |cluster, _| promote(cluster, MASTER));
    let status = kubectl_hg(cluster, &["status", MASTER, "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["master"], *cluster.role("master").unwrap(), "{status}");
    assert!(status["lastPromotion"]["to"].is_string(), "{status}");
}

pub fn a_masters_node_is_drained(cluster: &Cluster, developer: &mut Developer) {
    replaced(cluster, developer, &ASKED, |cluster, master| {
        let node = node(cluster, MASTER, master);
        let which = "--ignore-daemonsets --delete-emptydir-data --pod-selector=hg-operator.dev/role=master";
        cluster.kubectl(&format!("drain {node} {which}"));
        cluster.kubectl(&format!("uncordon {node}"));
    });
}

/// The standby is replaced first, then it becomes master, then the old one is replaced.
pub fn a_new_template_is_rolled_out(cluster: &Cluster, developer: &mut Developer) {
    let before = cluster.pods(MASTER).unwrap();
    replaced(cluster, developer, &ASKED, |cluster, _| {
        let annotation =
            format!(r#"{{"spec":{{"podAnnotations":{{"example.org/rolled":"{}"}}}}}}"#, std::process::id());
        cluster.kubectl(&format!("patch sshmaster/hg --type=merge -p {annotation}"));
        eventually("every pod is another", || {
            let pods = cluster.pods(MASTER)?;
            let replaced = pods.iter().all(|(name, pod)| pod.ready && pod.uid != before[name].uid);
            if replaced && pods.len() == before.len() { Ok(()) } else { Err(format!("{pods:?}")) }
        });
    });
}

/// The register still names the master; which of them opens first does not matter.
pub fn all_instances_are_killed(cluster: &Cluster, developer: &mut Developer) {
    at_once(cluster);
    let reader = Reader::start(cluster);
    let writing = developer.writer.start();
    developer.push();
    let before = cluster.pods(MASTER).unwrap();
    let names: Vec<String> = before.keys().map(|name| format!("pod/{name}")).collect();
    cluster.kubectl(&format!("delete --wait=false --grace-period=0 --force {}", names.join(" ")));
    developer.push_when_possible();
    in_sync(cluster);
    writing.end(&mut developer.writer);
    let after = cluster.pods(MASTER).unwrap();
    assert!(after.iter().all(|(name, pod)| pod.uid != before[name].uid), "{before:?} {after:?}");
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    reader.is_content();
}

/// The elected operator is there too, so that the other one does all that is urgent. Readers' connections may go to a
/// mirror of that node until it has left the Service.
pub fn a_masters_node_is_cut_off(cluster: &Cluster, developer: &mut Developer) {
    at_once(cluster);
    let node = not_the_first_node(cluster);
    elects_an_operator_on(cluster, &node);
    let mirrors = Mirrors::around(cluster, &node);
    if let Some(mirror) = mirrors.one() {
        cluster.readers_go_to(&cluster.pods("web").unwrap()[&mirror]);
    }
    let reader = Reader::start_impatient(cluster);
    let unplugged = promoted(cluster, developer, &SILENT, |cluster, _| cluster.unplug(&node));
    let tip = developer.push();
    mirrors.are_left(cluster, reader, &tip, developer);
    drop(unplugged);
    ends_well(cluster, developer);
}

/// Readers notice nothing, and pushes stand still no longer than they may.
pub fn replaced(cluster: &Cluster, developer: &mut Developer, change: &Change, event: impl FnOnce(&Cluster, &str)) {
    at_once(cluster);
    let reader = Reader::start(cluster);
    promoted(cluster, developer, change, event);
    ends_well(cluster, developer);
    reader.is_content();
}

/// Another one is master, within the budget, and the status tells how that came. Answers what the event did, for it
/// may have to be undone.
pub fn promoted<'a, T>(
    cluster: &'a Cluster,
    developer: &mut Developer,
    change: &Change,
    event: impl FnOnce(&'a Cluster, &str) -> T,
) -> T {
    let old = cluster.role("master").unwrap();
    // For a moment the Service may lead to the master of before.
    developer.push_when_possible();
    let writing = developer.writer.start();
    let done = event(cluster, &old);
    let new = named_instead_of(cluster, MASTER, &old);
    let written = writing.end(&mut developer.writer);
    written.stood_still_within(change.budget + SLACK);
    developer.push_when_possible();
    assert_eq!(cluster.role("master").unwrap(), new);
    is_told(cluster, &old, &new, change);
    done
}

pub fn is_told(cluster: &Cluster, old: &str, new: &str, change: &Change) {
    let last = eventually("the status tells of the promotion", || {
        let last = cluster.get("sshmaster/hg")?["status"]["lastPromotion"].clone();
        if (&last["from"], &last["to"]) == (&old.into(), &new.into()) { Ok(last) } else { Err(last.to_string()) }
    });
    eprintln!("  {last}");
    assert!(change.reasons.iter().any(|reason| last["reason"] == *reason), "{last}");
    assert!(last["fenceProof"].as_str().unwrap_or_default().ends_with(change.proof), "{last}");
    let seconds = last["seconds"].as_u64().unwrap();
    assert!((1..=(change.budget + SLACK).as_secs()).contains(&seconds), "{last}");
}

/// Everybody is in sync again, without anybody's help, and everything is there.
pub fn ends_well(cluster: &Cluster, developer: &mut Developer) {
    in_sync(cluster);
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
}

/// Loses what was promoted a moment ago again: with the defaults that is waited for.
pub fn at_once(cluster: &Cluster) {
    let failover = r#"{"spec":{"failover":{"minInterval":"0s"}}}"#;
    cluster.kubectl(&format!("patch sshmaster/hg --type=merge -p {failover}"));
    in_sync(cluster);
}

/// The master's node, which can be cut off.
pub fn not_the_first_node(cluster: &Cluster) -> String {
    let mut master = cluster.role("master").unwrap();
    if node(cluster, MASTER, &master) == FIRST_NODE {
        promote(cluster, MASTER);
        master = named_instead_of(cluster, MASTER, &master);
        in_sync(cluster);
    }
    let node = node(cluster, MASTER, &master);
    assert_ne!(node, FIRST_NODE);
    node
}

/// By force: its process is killed at once.
pub fn kill(cluster: &Cluster, pod: &str) {
    cluster.kubectl(&format!("delete --wait=false --grace-period=0 --force pod/{pod}"));
}

/// `name`: of the SshMaster.
pub fn named_instead_of(cluster: &Cluster, name: &str, old: &str) -> String {
    eventually("another holder of the register", || {
        let holder =
            cluster.get(&format!("lease/{name}"))?["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        if holder.is_empty() || holder == old { Err(holder) } else { Ok(holder) }
    })
}

pub fn node(cluster: &Cluster, name: &str, pod: &str) -> String {
    cluster.pods(name).unwrap()[pod].node.clone()
}

/// The quickstart's pod of that name.
pub fn pod(cluster: &Cluster, name: &str) -> Pod {
    eventually(name, || cluster.pods(MASTER)?.remove(name).ok_or(format!("there is no pod {name}")))
}

pub fn in_sync(cluster: &Cluster) {
    eventually("a standby is in sync, and the master can be lost", || {
        let ready = cluster.condition("sshmaster/hg", "PromotionReady")?;
        if ready.status == "True" { Ok(()) } else { Err(format!("{ready:?}")) }
    });
}

pub fn promote(cluster: &Cluster, name: &str) {
    eprintln!("  {}", kubectl_hg(cluster, &["promote", name]).trim());
}

pub fn kubectl_hg(cluster: &Cluster, arguments: &[&str]) -> String {
    let own = std::env::current_exe().unwrap();
    let program: PathBuf = own.ancestors().nth(2).unwrap().join("kubectl-hg");
    let output = Command::new(program)
        .args(arguments)
        .args(["--namespace", "quickstart"])
        .env("KUBECONFIG", cluster.kubeconfig_file())
        .output()
        .expect("kubectl-hg is built with the workspace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
