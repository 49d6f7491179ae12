//! The master is lost, or is to be another: a standby takes its place by itself, and nothing acknowledged is lost.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{Cluster, Developer, LIMIT, Reader};
use scenarios::wait_longer_for;

/// From the event until the register names another (design, section 7), with the defaults.
const UNPLANNED: Duration = Duration::from_secs(6);
/// What `kubectl` itself takes on a busy machine.
const LOOK: Duration = Duration::from_secs(3);
/// Everything of the control plane is there: it is not cut off.
pub const FIRST_NODE: &str = "n1";
/// The quickstart's.
const MASTER: &str = "hg";

pub fn a_killed_master_is_replaced(cluster: &Cluster, developer: &mut Developer) {
    replaced(cluster, developer, |cluster, master| {
        cluster.kubectl(&format!("delete --wait=false --grace-period=0 --force pod/{master}"));
    });
}

pub fn a_masters_node_is_drained(cluster: &Cluster, developer: &mut Developer) {
    replaced(cluster, developer, |cluster, master| {
        let node = node(cluster, MASTER, master);
        let which = "--ignore-daemonsets --delete-emptydir-data --pod-selector=hg-operator.dev/role=master";
        cluster.kubectl(&format!("drain {node} {which}"));
        cluster.kubectl(&format!("uncordon {node}"));
    });
}

/// The standby is replaced first, then it becomes master, then the old one is replaced.
pub fn a_new_template_is_rolled_out(cluster: &Cluster, developer: &mut Developer) {
    in_sync(cluster);
    let reader = Reader::start(cluster);
    let (before, old) = (cluster.pods(MASTER).unwrap(), cluster.role("master").unwrap());
    let annotation = format!(r#"{{"spec":{{"podAnnotations":{{"example.org/rolled":"{}"}}}}}}"#, std::process::id());
    cluster.kubectl(&format!("patch sshmaster/hg --type=merge -p {annotation}"));
    named_instead_of(cluster, MASTER, &old);
    developer.push_when_possible();
    wait_longer_for(LIMIT, "every pod is another", || {
        let pods = cluster.pods(MASTER)?;
        let replaced = pods.iter().all(|(name, pod)| pod.ready && pod.uid != before[name].uid);
        if replaced && pods.len() == before.len() { Ok(()) } else { Err(format!("{pods:?}")) }
    });
    in_sync(cluster);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    reader.is_content();
}

/// The register still names the master; which of them opens first does not matter.
pub fn all_instances_are_killed(cluster: &Cluster, developer: &mut Developer) {
    in_sync(cluster);
    let reader = Reader::start(cluster);
    developer.push();
    let before = cluster.pods("hg").unwrap();
    let names: Vec<String> = before.keys().map(|name| format!("pod/{name}")).collect();
    cluster.kubectl(&format!("delete --wait=false --grace-period=0 --force {}", names.join(" ")));
    developer.push_when_possible();
    in_sync(cluster);
    let after = cluster.pods("hg").unwrap();
    assert!(after.iter().all(|(name, pod)| pod.uid != before[name].uid), "{before:?} {after:?}");
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    reader.is_content();
}

/// Without a reader: one whose connections go to a mirror of that node waits until it has left the Service.
pub fn a_masters_node_is_cut_off(cluster: &Cluster, developer: &mut Developer) {
    // The steps before this one have promoted, too: within the interval no other promotion is made.
    let failover = r#"{"spec":{"failover":{"minInterval":"1s"}}}"#;
    cluster.kubectl(&format!("patch sshmaster/hg --type=merge -p {failover}"));
    in_sync(cluster);
    let mut old = cluster.role("master").unwrap();
    if node(cluster, MASTER, &old) == FIRST_NODE {
        promote(cluster, MASTER);
        old = named_instead_of(cluster, MASTER, &old);
        in_sync(cluster);
    }
    let node = node(cluster, MASTER, &old);
    assert_ne!(node, FIRST_NODE);
    developer.push_when_possible();
    let begun = Instant::now();
    cluster.link(&node, "down");
    let new = named_in_time(cluster, &old, begun);
    developer.push_when_possible();
    eprintln!("  a push is acknowledged after {:.1?}", begun.elapsed());
    assert_eq!(cluster.role("master").unwrap(), new);
    cluster.link(&node, "up");
    in_sync(cluster);
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
}

pub fn a_switchover_is_asked_for(cluster: &Cluster, developer: &mut Developer) {
    replaced(cluster, developer, |cluster, _| promote(cluster, MASTER));
    let status = kubectl_hg(cluster, &["status", "hg", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["master"], *cluster.role("master").unwrap(), "{status}");
    assert!(status["lastPromotion"]["to"].is_string(), "{status}");
}

/// Readers notice nothing, pushes go on with another master, and everybody is in sync again.
fn replaced(cluster: &Cluster, developer: &mut Developer, event: impl FnOnce(&Cluster, &str)) {
    in_sync(cluster);
    let reader = Reader::start(cluster);
    developer.push();
    let old = cluster.role("master").unwrap();
    let begun = Instant::now();
    event(cluster, &old);
    let new = named_in_time(cluster, &old, begun);
    developer.push_when_possible();
    eprintln!("  a push is acknowledged after {:.1?}", begun.elapsed());
    assert_eq!(cluster.role("master").unwrap(), new);
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    reader.is_content();
}

fn named_in_time(cluster: &Cluster, old: &str, begun: Instant) -> String {
    let new = named_instead_of(cluster, MASTER, old);
    let seconds = begun.elapsed();
    eprintln!("  {new} is named after {seconds:.1?}");
    assert!(seconds < UNPLANNED + LOOK, "{seconds:?}");
    new
}

/// `name`: of the SshMaster.
pub fn named_instead_of(cluster: &Cluster, name: &str, old: &str) -> String {
    wait_longer_for(LIMIT, "another holder of the register", || {
        let holder =
            cluster.get(&format!("lease/{name}"))?["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        if holder.is_empty() || holder == old { Err(holder) } else { Ok(holder) }
    })
}

pub fn node(cluster: &Cluster, name: &str, pod: &str) -> String {
    cluster.pods(name).unwrap()[pod].node.clone()
}

pub fn in_sync(cluster: &Cluster) {
    wait_longer_for(LIMIT, "a standby is in sync, and the master can be lost", || {
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
