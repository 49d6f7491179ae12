//! What only the operator can see is told by a condition, disturbs nothing, and heals.

use cluster::{Cluster, Developer};

fn repository(name: &str, path: &str, master: &str) -> String {
    format!(
        "apiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {{name: {name}}}\n\
         spec: {{path: {path}, masterRef: {{name: {master}}}, writeGroups: [developers]}}\n"
    )
}

pub fn are_told_and_heal(cluster: &Cluster, developer: &mut Developer) {
    cluster.apply(&repository("astray", "astray", "nobody"));
    let sentence = cluster.says("hgrepository/astray", "False", "MasterNotFound");
    assert!(sentence.contains("nobody"), "{sentence}");

    cluster.apply(&repository("first", "twice", "hg"));
    cluster.is_ready("hgrepository/first");
    cluster.apply(&repository("second", "twice", "hg"));
    let sentence = cluster.says("hgrepository/second", "False", "PathTaken");
    assert!(sentence.contains("first"), "{sentence}");
    cluster.is_ready("hgrepository/first");
    developer.push();

    cluster.kubectl("delete hgrepository/first");
    cluster.is_ready("hgrepository/second");

    // Which master a repository belongs to stays; one with the right name is another repository.
    cluster.kubectl("delete hgrepository/astray");
    cluster.apply(&repository("astray", "astray", "hg"));
    cluster.is_ready("hgrepository/astray");
    cluster.kubectl("delete hgrepository/astray hgrepository/second");
    developer.push();
    developer.nothing_is_lost();
}
