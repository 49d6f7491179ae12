//! Daily life: push, clone, another version of the chart, the end.

use std::collections::BTreeSet;

use cluster::{Cluster, Developer, eventually};

/// The release and where it comes from.
const CHART: &str = "hg-operator charts/hg-operator";

pub fn push_and_clone(cluster: &Cluster, developer: &mut Developer) {
    cluster.mirrors_are_active(2);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    eventually("the repository's status tells of the push", || {
        let status = cluster.get("hgrepository/hello")?["status"].clone();
        let told = (status["tip"] == *tip, status["mirrorsInSync"] == "2/2");
        if told == (true, true) { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Whatever was installed: to Kubernetes the archive's other name is another image.
const OTHER_IMAGE: &str = "--set image.repository=localhost/hg-operator,image.tag=dev";

pub fn an_upgrade_restarts_nothing(cluster: &Cluster, developer: &mut Developer) {
    cluster.is_ready("sshmaster/hg");
    let pods = || Ok::<_, String>((cluster.pods("hg")?, cluster.pods("web")?));
    let before = pods().unwrap();
    let holder = || {
        let lease = cluster.get("lease/hg-operator -n hg-operator")?;
        Ok::<_, String>(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    };
    let acted = holder().unwrap();
    // Other operators also when an earlier run has upgraded this cluster.
    let run = format!("--set-string podAnnotations.run={}", std::process::id());
    cluster.helm(&format!("upgrade {CHART} --reuse-values {OTHER_IMAGE} {run} --wait --timeout=3m"));
    eventually("another operator acts", || match holder()? {
        other if other != acted && !other.is_empty() => Ok(()),
        same => Err(same),
    });
    // Whatever the new operator does to what is there, it has done before it answers for something new.
    let change = format!(r#"{{"spec":{{"description":"{}"}}}}"#, std::process::id());
    cluster.kubectl(&format!("patch hgrepository/projects-tools --type=merge -p {change}"));
    for resource in ["sshmaster/hg", "mirrorpool/web", "hgrepository/projects-tools", "hgrepository/hello"] {
        cluster.is_ready(resource);
    }
    assert_eq!(before, pods().unwrap());
    cluster.helm("test hg-operator --timeout=3m");
    developer.push();
    developer.nothing_is_lost();
}

pub fn uninstalling_keeps_everything(cluster: &Cluster, developer: &mut Developer) {
    let before = kept(cluster);
    assert!(before.len() >= 6, "four volumes, the register, the host keys: {before:#?}");
    cluster.helm("uninstall hg-operator --wait --timeout=3m");
    // Nobody observes, and everything serves.
    developer.push();
    developer.nothing_is_lost();
    assert!(cluster.kubectl("get hgrepositories -o name").contains("hello"));
    cluster.kubectl("delete hgrepositories,mirrorpools,sshmasters --all --wait=false");
    for owner in ["hg", "web"] {
        cluster.has_no_pods(owner);
    }
    assert_eq!(before, kept(cluster));

    // Who installs it again finds everything as it was: repositories, host keys, who is master.
    cluster.helm(&format!("install {CHART} {OTHER_IMAGE} --wait --timeout=3m"));
    cluster.kubectl("apply -f examples/quickstart.yaml");
    cluster.mirrors_are_active(2);
    for resource in ["sshmaster/hg", "hgrepository/hello", "hgrepository/projects-tools"] {
        cluster.is_ready(resource);
    }
    assert_eq!(before, kept(cluster));
    developer.nothing_is_lost();
    let tip = developer.push();
    developer.shown(cluster, &[0, 1], &tip);
}

/// Lists what has no owner and hence outlives the resources, each with its UID.
fn kept(cluster: &Cluster) -> BTreeSet<String> {
    let found = cluster.get("pvc,lease,secret -l app.kubernetes.io/managed-by=hg-operator").unwrap();
    let items = found["items"].as_array().unwrap().iter().map(|item| (&item["kind"], &item["metadata"]));
    let free = items.filter(|(_, metadata)| metadata["ownerReferences"].is_null());
    free.map(|(kind, metadata)| format!("{kind} {} {}", metadata["name"], metadata["uid"])).collect()
}
