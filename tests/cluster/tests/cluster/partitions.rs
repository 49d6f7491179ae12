//! A part of the network is cut, or the API server does not answer: the master lives, is seen by somebody, and stays.

use std::time::{Duration, Instant};

use cluster::{Cluster, Developer, Pod, Reader, eventually};
use serde_json::Value;

use crate::promotion::{in_sync, pod};

/// Twice as long as a master is silent before it is suspected.
const LONG: Duration = Duration::from_secs(6);
const A_MINUTE: Duration = Duration::from_secs(60);
const NODES: usize = 3;
/// Longer than from one look at nodes to the next, of Kubernetes' controller.
const SETTLED: Duration = Duration::from_secs(8);
/// For which Services may lead nowhere.
const UNHEARD: Duration = Duration::from_secs(30);
/// Until operators watch again and one of them is elected.
const SEEN_AGAIN: Duration = Duration::from_secs(20);
/// While everybody that a commit needs is there, one push follows the other.
const AT_ONCE: Duration = Duration::from_secs(3);
/// Until a standby that does not answer has left the in-sync set (docs/operating/promotion.md), and a push.
pub const LEFT: Duration = Duration::from_millis(5500);
/// Pushes of the writer in a second, at least: it does some two.
const PUSHES_A_SECOND: f64 = 0.5;

/// Pushes wait until the standby has left the in-sync set, and go on without it.
pub fn a_master_without_its_standby(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, LEFT, |cluster, developer, master| {
        let standby = pod(cluster, &cluster.role("standby").unwrap());
        let _blocked = cluster.block(master, &standby.address);
        developer.push_when_possible();
        alone(cluster);
        pushes_for(LONG, developer);
    });
}

/// Cuts a master from the API server. It cannot change the register, and need not.
pub fn a_master_without_the_api_server(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, AT_ONCE, |cluster, developer, master| {
        let _blocked = cluster.block(master, &cluster.api_server().unwrap());
        pushes_for(LONG, developer);
    });
}

/// The standby hears it, which is one of the two ways.
pub fn a_master_without_the_operator(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, AT_ONCE, |cluster, developer, master| {
        let operators = cluster.operators().unwrap();
        assert!(!operators.is_empty());
        let _blocked: Vec<_> = operators.values().map(|operator| cluster.block(operator, &master.address)).collect();
        pushes_for(LONG, developer);
        eventually("the condition tells it", || {
            let ready = cluster.condition("sshmaster/hg", "PromotionReady")?;
            if ready.message.contains("one of two paths") { Ok(()) } else { Err(format!("{ready:?}")) }
        });
        pushes_for(LONG, developer);
    });
}

/// Cuts an operator from everybody. It hears nothing and nobody, and so knows nothing.
pub fn an_operator_without_anybody(cluster: &Cluster, developer: &mut Developer) {
    stays(cluster, developer, AT_ONCE, |cluster, developer, _| {
        let operators = cluster.operators().unwrap();
        let instances = cluster.pods("hg").unwrap().into_values().map(|pod| pod.address);
        let others: Vec<String> = instances.chain([cluster.api_server().unwrap()]).collect();
        let pairs = operators.values().flat_map(|operator| others.iter().map(move |other| (operator, other)));
        let blocked: Vec<_> = pairs.map(|(operator, other)| cluster.block(operator, other)).collect();
        assert!(blocked.len() >= 3, "an operator, two instances and the API server");
        pushes_for(A_MINUTE / 2, developer);
    });
    cluster.is_ready("sshmaster/hg");
}

/// Frozen, so that whoever asks waits. Nobody is promoted without it, and nobody needs to be.
pub fn nobody_has_an_api_server(cluster: &Cluster, developer: &mut Developer) {
    let trouble = |_: &Cluster, developer: &mut Developer, _: &Pod| {
        let frozen = cluster.freeze_api_server();
        pushes_for(A_MINUTE, developer);
        frozen
    };
    stays_and_heals(cluster, developer, AT_ONCE, trouble, |frozen| {
        drop(frozen);
        a_change_is_taken_up(cluster, "1s");
    });
    nodes_are_heard_again(cluster, developer);
}

/// Whoever asks is refused.
pub fn the_api_server_is_killed(cluster: &Cluster, developer: &mut Developer) {
    let trouble = |_: &Cluster, developer: &mut Developer, _: &Pod| {
        let killed = cluster.kill_api_server();
        cluster.try_kubectl("get pods").unwrap_err();
        pushes_for(A_MINUTE, developer);
        killed
    };
    stays_and_heals(cluster, developer, AT_ONCE, trouble, |killed| {
        drop(killed);
        a_change_is_taken_up(cluster, "2s");
    });
    nodes_are_heard_again(cluster, developer);
}

/// An operator sees what is asked for soon after the API server is back.
fn a_change_is_taken_up(cluster: &Cluster, interval: &str) {
    let back = Instant::now();
    let failover = format!(r#"{{"spec":{{"failover":{{"minInterval":"{interval}"}}}}}}"#);
    eventually("the change is stored", || {
        cluster.try_kubectl(&format!("patch sshmaster/hg --type=merge -p {failover}"))
    });
    eventually("the status is of the changed generation", || cluster.condition("sshmaster/hg", "PromotionReady"));
    let after = back.elapsed();
    eprintln!("  a change is taken up after {after:.1?}");
    assert!(after < SEEN_AGAIN, "{after:.1?}");
}

/// Everybody is in sync, `trouble` goes on for a while, and then all is as before: the same master of the same reign.
/// The writer never waits for longer than `most`.
fn stays(
    cluster: &Cluster,
    developer: &mut Developer,
    most: Duration,
    trouble: impl FnOnce(&Cluster, &mut Developer, &Pod),
) {
    stays_and_heals(cluster, developer, most, trouble, |()| ());
}

/// With a trouble that ends when nobody writes or reads any more.
fn stays_and_heals<T>(
    cluster: &Cluster,
    developer: &mut Developer,
    most: Duration,
    trouble: impl FnOnce(&Cluster, &mut Developer, &Pod) -> T,
    heal: impl FnOnce(T),
) {
    in_sync(cluster);
    let reader = Reader::start(cluster);
    let writing = developer.writer.start();
    let before = register(cluster);
    let master = pod(cluster, before["spec"]["holderIdentity"].as_str().unwrap());
    let begun = Instant::now();
    let troubled = trouble(cluster, developer, &master);
    let seconds = begun.elapsed().as_secs_f64();
    let written = writing.end(&mut developer.writer);
    reader.is_content();
    written.stood_still_within(most);
    assert!(written.pushes as f64 >= seconds * PUSHES_A_SECOND, "{} pushes in {seconds:.0} s", written.pushes);
    heal(troubled);
    in_sync(cluster);
    let after = register(cluster);
    let who = |register: &Value| {
        let generation = register["metadata"]["annotations"]["hg-operator.dev/generation"].as_str();
        let holder = register["spec"]["holderIdentity"].as_str();
        (holder.unwrap().to_owned(), generation.unwrap().to_owned())
    };
    assert_eq!(who(&after), who(&before));
    let tip = developer.push_when_possible();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
}

/// The master goes on without a standby, and says so.
pub fn alone(cluster: &Cluster) {
    eventually("the standby has left the in-sync set", || {
        let ready = cluster.condition("sshmaster/hg", "PromotionReady")?;
        if ready.status == "False" { Ok(()) } else { Err(format!("{ready:?}")) }
    });
}

/// When the API server is back, Kubernetes has heard from no node for longer than it waits, and takes all of them for
/// lost until it hears them: for that moment, Services lead nowhere. That is not ours, and ends by itself.
fn nodes_are_heard_again(cluster: &Cluster, developer: &mut Developer) {
    let reader = Reader::start_impatient(cluster);
    let writing = developer.writer.start();
    let mut well_since = None;
    eventually("all nodes and endpoints are there for a while", || {
        let (nodes, ssh, http) =
            (cluster.ready_nodes()?, cluster.endpoints("hg-ssh")?, cluster.endpoints("web-http")?);
        if (nodes, ssh.len(), http.len()) != (NODES, 1, 2) {
            well_since = None;
        }
        let since: &Instant = well_since.get_or_insert_with(Instant::now);
        if since.elapsed() > SETTLED { Ok(()) } else { Err(format!("{nodes} nodes, {ssh:?}, {http:?}")) }
    });
    writing.end(&mut developer.writer).stood_still_within(UNHEARD);
    reader.was_cut_off_for(UNHEARD, Instant::now());
    in_sync(cluster);
    developer.nothing_is_lost();
}

fn register(cluster: &Cluster) -> Value {
    eventually("the register", || cluster.get("lease/hg"))
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
