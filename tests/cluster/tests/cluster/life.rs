//! Daily life: push, clone, another version of the chart, the end.

use cluster::{Cluster, Developer, LIMIT};
use scenarios::wait_longer_for;

pub fn push_and_clone(cluster: &Cluster, developer: &mut Developer) {
    cluster.mirrors_are_active(2);
    let tip = developer.push();
    developer.shown(cluster, &[0, 1], &tip);
    developer.nothing_is_lost();
    wait_longer_for(LIMIT, "the repository's status tells of the push", || {
        let status = cluster.get("hgrepository/hello")?["status"].clone();
        let told = (status["tip"] == *tip, status["mirrorsInSync"] == "2/2");
        if told == (true, true) { Ok(()) } else { Err(status.to_string()) }
    });
}

pub fn an_upgrade_restarts_nothing(cluster: &Cluster, developer: &mut Developer) {
    cluster.is_ready("sshmaster/hg");
    let pods = || Ok::<_, String>((cluster.pods("ssh")?, cluster.pods("mirror")?));
    let before = pods().unwrap();
    let holder = || {
        let lease = cluster.get("lease/hg-operator -n hg-operator")?;
        Ok::<_, String>(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    };
    let acted = holder().unwrap();
    cluster.helm("upgrade hg-operator charts/hg-operator --reuse-values --set logFilter=debug --wait --timeout=3m");
    wait_longer_for(LIMIT, "another operator acts", || match holder()? {
        other if other != acted && !other.is_empty() => Ok(()),
        same => Err(same),
    });
    // Whatever the new operator does to what is there, it has done before it answers for something new.
    cluster.kubectl("patch hgrepository/projects-tools --type=merge -p {\"spec\":{\"description\":\"upgraded\"}}");
    for resource in ["sshmaster/hg", "mirrorpool/web", "hgrepository/projects-tools", "hgrepository/hello"] {
        cluster.is_ready(resource);
    }
    assert_eq!(before, pods().unwrap());
    developer.push();
    developer.nothing_is_lost();
}

pub fn uninstalling_keeps_the_volumes(cluster: &Cluster, developer: &mut Developer) {
    let claims = || cluster.kubectl("get pvc -o name");
    let before = claims();
    assert!(before.contains("data-hg-ssh-0"), "{before}");
    cluster.helm("uninstall hg-operator --wait --timeout=3m");
    // Nobody observes, and everything serves.
    developer.push();
    developer.nothing_is_lost();
    assert!(cluster.kubectl("get hgrepositories -o name").contains("hello"));
    cluster.kubectl("delete hgrepositories,mirrorpools,sshmasters --all --wait=false");
    wait_longer_for(LIMIT, "the pods go with their resources", || {
        match cluster.pods("ssh")?.len() + cluster.pods("mirror")?.len() {
            0 => Ok(()),
            left => Err(format!("{left} pods")),
        }
    });
    assert_eq!(before, claims());
}
