//! Mistakes are told in a sentence: by the API server at once or, where only the operator can see it, by a condition
//! and the same words in its log. It disturbs nothing that runs, and heals when it is mended.

use cluster::{Cluster, Developer, eventually};

/// Refused changes, and what the API server says of each. The table of all that it refuses is in
/// `tests/api-server`; these show that the chart has brought the rules along. Without spaces, for they are words.
const REFUSED: &[(&str, &str, &str)] = &[
    ("sshmaster/hg", r#"{"spec":{"instances":4}}"#, "should be less than or equal to 3"),
    ("sshmaster/hg", r#"{"spec":{"storage":{"size":"30Gi"}}}"#, "a volume never shrinks"),
    ("mirrorpool/web", r#"{"spec":{"minActive":9}}"#, "minActive is more than replicas: 0 to replicas is allowed"),
    ("mirrorpool/web", r#"{"spec":{"masterRef":{"name":"other"}}}"#, "the SshMaster never changes"),
    ("hgrepository/hello", r#"{"spec":{"path":"other"}}"#, "the path of a repository never changes"),
    ("hgrepository/hello", r#"{"spec":{"writeGroups":["a","a"]}}"#, "Duplicate value"),
];

pub fn are_told_and_heal(cluster: &Cluster, developer: &mut Developer) {
    forget(cluster);
    let pods = || [cluster.pods("hg").unwrap(), cluster.pods("web").unwrap()];
    let before = pods();
    are_refused(cluster);
    is_not_locked_down(cluster);
    one_path_for_two(cluster);
    developer.push();
    what_is_named_is_missing(cluster);
    developer.push();
    a_volume_would_have_to_shrink(cluster);
    all_are_read_only(cluster, developer);
    developer.push();
    developer.nothing_is_lost();
    for resource in ["sshmaster/hg", "mirrorpool/web", "hgrepository/hello"] {
        cluster.is_ready(resource);
    }
    assert_eq!(before, pods());
    forget(cluster);
}

fn are_refused(cluster: &Cluster) {
    for (resource, change, sentence) in REFUSED {
        let refused = cluster.try_kubectl(&format!("patch {resource} --type=merge -p {change}")).unwrap_err();
        assert!(refused.contains(sentence), "{change}: {refused}");
    }
    let misspelt = repository("misspelt", "misspelt", "hg").replace("writeGroups", "writeGroup");
    let refused = cluster.try_apply(&misspelt).unwrap_err();
    assert!(refused.contains(r#"unknown field "spec.writeGroup""#), "{refused}");
}

/// So what runs in these namespaces is: instances, operators, the chart's test.
fn is_not_locked_down(cluster: &Cluster) {
    for namespace in ["quickstart", "hg-operator"] {
        let line = format!("run loose --image=localhost/pause:1 --restart=Never --namespace={namespace}");
        let refused = cluster.try_kubectl(&line).unwrap_err();
        assert!(refused.contains(r#"violates PodSecurity "restricted"#), "{refused}");
    }
}

fn one_path_for_two(cluster: &Cluster) {
    cluster.apply(&repository("first", "twice", "hg"));
    cluster.is_ready("hgrepository/first");
    cluster.apply(&repository("second", "twice", "hg"));
    is_told(cluster, "hgrepository/second", "PathTaken", "'twice' is the path of HgRepository 'first' already");
    cluster.is_ready("hgrepository/first");
    cluster.kubectl("delete hgrepository/first");
    cluster.is_ready("hgrepository/second");
}

/// A repository and a pool are there before their SshMaster, and that before its Secret.
fn what_is_named_is_missing(cluster: &Cluster) {
    cluster.apply(&repository("early", "early", "other"));
    cluster.apply(POOL);
    for resource in ["hgrepository/early", "mirrorpool/early"] {
        is_told(cluster, resource, "MasterNotFound", "there is no SshMaster 'other' in this namespace");
    }
    cluster.apply(&master("2Gi"));
    is_told(cluster, "sshmaster/other", "SecretMissing", "there is no Secret 'others' in this namespace");
    cluster.kubectl("create secret generic others --from-literal=authorized_keys=");
    for resource in ["sshmaster/other", "mirrorpool/early", "hgrepository/early"] {
        cluster.is_ready(resource);
    }
}

/// The API server lets nobody shrink one that is there, but a new SshMaster may find larger volumes of its
/// predecessor.
fn a_volume_would_have_to_shrink(cluster: &Cluster) {
    cluster.kubectl("delete sshmaster/other");
    cluster.has_no_pods("other");
    cluster.apply(&master("1500Mi"));
    let sentence = "spec.storage.size: 1500Mi is less than the 2Gi that volume claim 'data-other-ssh-0' asks for";
    is_told(cluster, "sshmaster/other", "StorageShrinks", sentence);
    cluster.apply(&master("2Gi"));
    for resource in ["sshmaster/other", "mirrorpool/early", "hgrepository/early"] {
        cluster.is_ready(resource);
    }
}

#[track_caller]
fn is_told(cluster: &Cluster, resource: &str, reason: &str, part: &str) {
    let sentence = cluster.says(resource, "False", reason);
    assert!(sentence.contains(part), "{resource}: {sentence}");
    cluster.is_logged(&sentence);
}

/// Refused at once and taken again at once, by the same pods.
fn all_are_read_only(cluster: &Cluster, developer: &mut Developer) {
    let says = |reason: &str| {
        eventually(&format!("the repository is {reason}"), || {
            let conditions = cluster.get("hgrepository/hello")?["status"]["conditions"].clone();
            let found = conditions.as_array().into_iter().flatten().any(|one| one["reason"] == reason);
            if found { Ok(()) } else { Err(conditions.to_string()) }
        });
    };
    cluster.kubectl(r#"patch sshmaster/hg --type=merge -p {"spec":{"readOnly":{"reason":"moving"}}}"#);
    says("ReadOnlyByMaster");
    let refused = developer.is_refused();
    assert!(refused.contains("remote: all repositories currently read only\nremote: moving\n"), "{refused}");
    cluster.kubectl(r#"patch sshmaster/hg --type=merge -p {"spec":{"readOnly":null}}"#);
    says("Writable");
    developer.push();
}

/// Also what an earlier run has left.
fn forget(cluster: &Cluster) {
    let made = ["hgrepository/first", "hgrepository/second", "hgrepository/early", "mirrorpool/early"];
    let line = made.join(" ");
    cluster.kubectl(&format!("delete --ignore-not-found {line} sshmaster/other secret/others"));
    for owner in ["early", "other"] {
        cluster.has_no_pods(owner);
        let selector = format!("-l app.kubernetes.io/instance={owner}");
        cluster.kubectl(&format!("delete --ignore-not-found pvc,secret,lease {selector}"));
    }
}

fn repository(name: &str, path: &str, master: &str) -> String {
    format!(
        "apiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {{name: {name}}}\n\
         spec: {{path: {path}, masterRef: {{name: {master}}}, writeGroups: [developers]}}\n"
    )
}

fn master(size: &str) -> String {
    format!(
        "apiVersion: hg-operator.dev/v1alpha1\nkind: SshMaster\nmetadata: {{name: other}}\n\
         spec:\n  instances: 1\n  publicUrl: http://localhost\n  sshHost: localhost\n  storage: {{size: {size}}}\n  \
         log: {{retention: {{size: 1Gi}}}}\n  directory: {{authorizedKeys: {{secretRef: {{name: others}}}}}}\n"
    )
}

const POOL: &str = "apiVersion: hg-operator.dev/v1alpha1\nkind: MirrorPool\nmetadata: {name: early}\n\
                    spec: {masterRef: {name: other}, replicas: 1}\n";
