//! The master is lost, or is to be another: a standby takes its place by itself, and nothing acknowledged is lost.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{Cluster, Developer, LIMIT, Reader};
use scenarios::wait_longer_for;

/// From the event until the register names another (design, section 7), with the defaults.
const UNPLANNED: Duration = Duration::from_secs(6);

pub fn a_killed_master_is_replaced(cluster: &Cluster, developer: &mut Developer) {
    replaced(cluster, developer, |cluster, master| {
        cluster.kubectl(&format!("delete --wait=false --grace-period=0 --force pod/{master}"));
    });
}

pub fn a_masters_node_is_cut_off(cluster: &Cluster, developer: &mut Developer) {
    let node = |cluster: &Cluster, pod: &str| cluster.pods("hg").unwrap()[pod].node.clone();
    let mut cut = String::new();
    replaced(cluster, developer, |cluster, master| {
        cut = node(cluster, master);
        // Everything of the control plane is on the first one.
        if cut == "n1" {
            promote(cluster);
            cut = node(cluster, &cluster.role("master").unwrap());
        }
        cluster.link(&cut, "down");
    });
    cluster.link(&cut, "up");
    in_sync(cluster);
    developer.nothing_is_lost();
}

pub fn a_switchover_is_asked_for(cluster: &Cluster, developer: &mut Developer) {
    replaced(cluster, developer, |cluster, _| promote(cluster));
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
    let new = wait_longer_for(LIMIT, "another holder of the register", || {
        let holder = cluster.get("lease/hg")?["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        if holder.is_empty() || holder == old { Err(holder) } else { Ok(holder) }
    });
    let seconds = begun.elapsed();
    eprintln!("  {new} is named after {seconds:.1?}");
    assert!(seconds < UNPLANNED + LOOK, "{seconds:?}");
    developer.push_when_possible();
    eprintln!("  a push is acknowledged after {:.1?}", begun.elapsed());
    assert_eq!(cluster.role("master").unwrap(), new);
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    reader.is_content();
}

/// What `kubectl` itself takes on a busy machine.
const LOOK: Duration = Duration::from_secs(3);

fn in_sync(cluster: &Cluster) {
    wait_longer_for(LIMIT, "a standby is in sync, and the master can be lost", || {
        let ready = cluster.condition("sshmaster/hg", "PromotionReady")?;
        if ready.status == "True" { Ok(()) } else { Err(format!("{ready:?}")) }
    });
}

fn promote(cluster: &Cluster) {
    eprintln!("  {}", kubectl_hg(cluster, &["promote", "hg"]).trim());
}

fn kubectl_hg(cluster: &Cluster, arguments: &[&str]) -> String {
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
