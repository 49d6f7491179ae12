//! A volume that has no room left.

use std::io::Write;
use std::path::PathBuf;

use cluster::{Cluster, Developer, eventually};
use scenarios::Client;

/// Called as the one of `shared`, for there is a way in.
const NAME: &str = "one";
const MANIFEST: &str = "
apiVersion: hg-operator.dev/v1alpha1
kind: SshMaster
metadata: {name: one}
spec:
  instances: 2
  publicUrl: http://localhost:8080
  sshHost: localhost
  storage: {size: 96Mi, storageClassName: limited}
  log: {retention: {size: 32Mi}}
  directory:
    authorizedKeys: {secretRef: {name: developers}}
    groups: [{name: developers, members: ['*']}]
---
apiVersion: hg-operator.dev/v1alpha1
kind: HgRepository
metadata:
  name: one
spec:
  path: one
  masterRef: {name: one}
  writeGroups: [developers]
";

pub fn of_the_master_and_of_the_standby(cluster: &Cluster, _developer: &mut Developer) {
    forget(cluster);
    cluster.apply(MANIFEST);
    cluster.is_ready("sshmaster/one");
    cluster.is_ready("hgrepository/one");
    let mut ready = cluster.ready().clone();
    ready.ssh.port = cluster.one_ssh;
    let client = Client::of(&ready, &cluster.mercurial, cluster.folder("full"));
    client.init("work");
    let url = client.push_url("one");
    let first = push(&client);
    let master = holder(cluster);
    let standby = cluster.pods(NAME).unwrap().into_keys().find(|name| *name != master).unwrap();

    let full = Full::of(cluster, &master);
    commit_large(&client, "second");
    let refused = client.hg("work", &["push", &url]).fails();
    assert!(refused.contains("volume is full") || refused.contains("all writes disabled"), "{refused}");
    // What is there can be read.
    assert_eq!(client.remote_tip(&url).unwrap(), first);
    drop(full);
    push(&client);

    let full = Full::of(cluster, &standby);
    commit_large(&client, "third");
    push(&client);
    let ready = cluster.condition("sshmaster/one", "StandbyInSync").unwrap();
    eprintln!("  {ready:?}");
    drop(full);
    cluster.is_ready("sshmaster/one");
    client.commit("work", "file", "fourth");
    let last = push(&client);
    assert_eq!(client.remote_tip(&url).unwrap(), last);
    client.hg("", &["clone", "-q", "-U", &url, "check"]).ok();
    let all = |copy: &str| client.hg(copy, &["log", "-T", "{node}\n"]).ok();
    assert_eq!(all("check"), all("work"));
    forget(cluster);
}

fn forget(cluster: &Cluster) {
    cluster.kubectl("delete --ignore-not-found hgrepository/one sshmaster/one");
    cluster.has_no_pods(NAME);
    cluster.kubectl("delete --ignore-not-found pvc,secret,lease -l app.kubernetes.io/instance=one");
}

fn holder(cluster: &Cluster) -> String {
    let lease = eventually("the register", || cluster.get("lease/one"));
    lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

/// Commits more than what is left in half-filled pages.
fn commit_large(client: &Client, text: &str) {
    let lines: String = (0..20_000).map(|number| format!("{text} {number}\n")).collect();
    std::fs::write(client.folder.join("work/large"), lines).unwrap();
    client.commit("work", "file", text);
}

fn push(client: &Client) -> String {
    let tip = client.tip("work");
    eventually("a push is acknowledged", || {
        let pushed = client.hg("work", &["push", "-q", &client.push_url("one")]);
        // 1: an earlier try was recorded after all.
        if matches!(pushed.code, Some(0 | 1)) { Ok(()) } else { Err(pushed.stderr) }
    });
    tip
}

/// There is room again when it is dropped.
struct Full(PathBuf);

impl Full {
    fn of(cluster: &Cluster, pod: &str) -> Full {
        let claim = cluster.get(&format!("pvc/data-{pod}")).unwrap();
        let file = cluster.volume(claim["spec"]["volumeName"].as_str().unwrap()).join("ballast");
        let mut ballast = std::fs::File::create(&file).unwrap();
        let full = Full(file);
        for size in [1 << 20, 4096] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        full
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}
