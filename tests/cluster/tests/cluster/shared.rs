//! Instances on several nodes with one volume: another one opens it when it is proven that the master writes no more.

use cluster::{Cluster, Developer, eventually};
use scenarios::Client;

use crate::promotion::{FIRST_NODE, kubectl_hg, named_instead_of, node, promote};

const NAME: &str = "one";
const MANIFEST: &str = "
apiVersion: hg-operator.dev/v1alpha1
kind: SshMaster
metadata: {name: one}
spec:
  instances: 2
  publicUrl: http://localhost:8080
  sshHost: localhost
  storage: {mode: Shared, size: 50Gi}
  failover: {minInterval: 0s}
  directory:
    authorizedKeys: {secretRef: {name: developers}}
    groups: [{name: developers, members: ['*']}]
---
apiVersion: hg-operator.dev/v1alpha1
kind: HgRepository
metadata: {name: one}
spec:
  path: one
  masterRef: {name: one}
  writeGroups: [developers]
";

pub fn one_volume_for_all_instances(cluster: &Cluster, _developer: &mut Developer) {
    cluster.apply(MANIFEST);
    cluster.is_ready("sshmaster/one");
    cluster.is_ready("hgrepository/one");
    let mut ready = cluster.ready().clone();
    ready.ssh.port = cluster.one_ssh;
    let client = Client::of(&ready, &cluster.mercurial, cluster.folder("one"));
    client.init("work");
    let mut pushed = vec![push(&client, "first")];

    // Nobody has seen it end: whoever comes, also the next pod of its name, waits until its lease has run out.
    let (old, before) = (holder(cluster), generation(cluster));
    cluster.kubectl(&format!("delete --wait=false --grace-period=0 --force pod/{old}"));
    eventually("a master of another generation", || match generation(cluster) {
        now if now > before => Ok(()),
        now => Err(format!("{now}")),
    });
    pushed.push(push(&client, "after a kill"));
    let mut master = holder(cluster);
    cluster.is_ready("sshmaster/one");

    promote(cluster, NAME);
    master = named_instead_of(cluster, NAME, &master);
    pushed.push(push(&client, "after a switchover"));
    cluster.is_ready("sshmaster/one");
    if node(cluster, NAME, &master) == FIRST_NODE {
        promote(cluster, NAME);
        master = named_instead_of(cluster, NAME, &master);
        cluster.is_ready("sshmaster/one");
    }

    let node = node(cluster, NAME, &master);
    let unplugged = cluster.unplug(&node);
    eventually("a person is asked for a word", || {
        let ready = cluster.condition("sshmaster/one", "PromotionReady")?;
        if ready.message.contains("kubectl hg fence") { Ok(()) } else { Err(format!("{ready:?}")) }
    });
    assert_eq!(holder(cluster), master, "silence is no proof");
    eprintln!("  {}", kubectl_hg(cluster, &["fence", NAME, "--confirm"]).trim());
    named_instead_of(cluster, NAME, &master);
    pushed.push(push(&client, "after a word"));
    drop(unplugged);
    cluster.is_ready("sshmaster/one");

    pushed.push(push(&client, "last"));
    client.hg("", &["clone", "-q", "-U", &client.push_url("one"), "check"]).ok();
    let has = client.hg("check", &["log", "-T", "{node}\n"]).ok();
    let lost: Vec<_> = pushed.iter().filter(|hash| !has.contains(hash.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    cluster.kubectl("delete --wait=false hgrepository/one sshmaster/one");
    cluster.has_no_pods(NAME);
}

fn holder(cluster: &Cluster) -> String {
    let lease = eventually("the register", || cluster.get("lease/one"));
    lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

fn generation(cluster: &Cluster) -> u64 {
    let lease = eventually("the register", || cluster.get("lease/one"));
    let text = lease["metadata"]["annotations"]["hg-operator.dev/generation"].as_str().unwrap().to_owned();
    text.parse().unwrap()
}

/// Tried until it is acknowledged.
fn push(client: &Client, text: &str) -> String {
    let hash = client.commit("work", "text", text);
    eventually(text, || {
        let pushed = client.hg("work", &["push", "-q", &client.push_url("one")]);
        // 1: an earlier try was recorded after all.
        if matches!(pushed.code, Some(0 | 1)) { Ok(()) } else { Err(pushed.stderr) }
    });
    hash
}
