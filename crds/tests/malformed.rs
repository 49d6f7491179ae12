//! The exact sentence for each mistake.

#![allow(clippy::unwrap_used)]

const MASTER: &str = "\
apiVersion: hg-operator.dev/v1alpha1
kind: SshMaster
metadata: {name: hg}
spec:
  publicUrl: https://hg.example.org
  sshHost: hg.example.org
  directory:
    authorizedKeys: {secretRef: {name: developers}}
";
const POOL: &str = "\
---
apiVersion: hg-operator.dev/v1alpha1
kind: MirrorPool
metadata: {name: web}
spec:
  masterRef: {name: hg}
";
const REPOSITORY: &str = "\
---
apiVersion: hg-operator.dev/v1alpha1
kind: HgRepository
metadata: {name: hello}
spec:
  masterRef: {name: hg}
  path: hello
";

fn refused(text: &str) -> String {
    match crds::parse("my.yaml", text) {
        Ok(read) => panic!("this is read as {read:?}:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The base file, with one line replaced by another.
fn with(line: &str, other: &str) -> String {
    let base = format!("{MASTER}{POOL}{REPOSITORY}");
    assert_eq!(base.matches(line).count(), 1, "{line:?} is there once");
    base.replace(line, other)
}

#[test]
fn the_base_is_right() {
    crds::parse("my.yaml", &format!("{MASTER}{POOL}{REPOSITORY}")).unwrap();
}

#[test]
fn each_mistake_has_its_sentence() {
    let table = TABLE;
    let mut wrong = Vec::new();
    for (line, other, sentence) in table {
        let said = refused(&with(line, other));
        if said != *sentence {
            wrong.push(format!("{other:?}\n  said: {said}\n  not:  {sentence}"));
        }
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const TABLE: &[(&str, &str, &str)] = &[
    (
        "  sshHost: hg.example.org\n",
        "  shHost: hg\n",
        "my.yaml:6: spec.shHost: no such field: instances, publicUrl, sshHost, storage, log, service, \
         hostKeysSecretRef, directory, failover, readOnly, largestPush, suspend, image, resources, nodeSelector, \
         affinity, tolerations, \
         topologySpreadConstraints, podAnnotations or imagePullSecrets is allowed here",
    ),
    ("  sshHost: hg.example.org\n", "", "my.yaml:6: spec: the field 'sshHost' is missing"),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: a b\n",
        "my.yaml:6: spec.sshHost: 'a b' is not a host: a host name or address is allowed",
    ),
    ("  sshHost: hg.example.org\n", "  sshHost:\n", "my.yaml:6: spec.sshHost: a text is allowed here, not nothing"),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  sshHost: h\n",
        "my.yaml:7: spec: the field 'sshHost' is there twice",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  instances: 7\n",
        "my.yaml:7: spec.instances: 7 is out of range: 1 to 3 is allowed",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  instances: two\n",
        "my.yaml:7: spec.instances: a whole number is allowed here",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  suspend: maybe\n",
        "my.yaml:7: spec.suspend: true or false is allowed here",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  log:\n    durability: Lax\n",
        "my.yaml:8: spec.log.durability: 'Lax' is not allowed: Strict or Degraded is",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  log:\n    engine: JetStream\n",
        "my.yaml:8: spec.log.engine: 'JetStream' is not allowed: Embedded is",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  log:\n    retention: {age: 3 days}\n",
        "my.yaml:8: spec.log.retention.age: '3 days' is not a time span: h, m and s are allowed, such as 72h or 1h30m",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  storage: {size: 20GB}\n",
        "my.yaml:7: spec.storage.size: '20GB' is not an amount of bytes: a whole number such as 500Mi or 20Gi is \
         allowed",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  storage: big\n",
        "my.yaml:7: spec.storage: a group of fields is allowed here",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  storage: {size: \"0\"}\n",
        "my.yaml:7: spec.storage.size: '0' is not the size of a volume: a whole number above 0 such as 500Mi or \
         20Gi is allowed",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  storage: {mode: Shared}\n  log: {durability: Strict}\n",
        "my.yaml:8: spec: log.durability: Strict is for storage.mode: PerInstance, where standbys have \
         disks of their own",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  instances: 1\n  log: {durability: Strict}\n",
        "my.yaml:8: spec: log.durability: Strict is for instances: 2 or 3, for one instance has no standby that could \
         acknowledge",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  log: {retention: {age: 59s}}\n",
        "my.yaml:7: spec.log.retention.age: '59s' is out of range: h, m and s are allowed, 1m to 8784h, such as 72h \
         or 1h30m",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  log: {retention: {size: 1023Ki}}\n",
        "my.yaml:7: spec.log.retention.size: '1023Ki' is out of range: a whole number such as 500Mi or 20Gi is \
         allowed, 1Mi to 1024Ti",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  failover:\n    lease: {retryPeriod: 0s}\n",
        "my.yaml:8: spec.failover.lease.retryPeriod: '0s' is out of range: h, m and s are allowed, 1s to 24h, such as \
         15s",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  failover:\n    lease: {retryPeriod: 9s}\n",
        "my.yaml:8: spec.failover.lease: retryPeriod and a second more must be less than renewDeadline, and that less \
         than duration",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  storage: {size: 10Gi}\n",
        "my.yaml:7: spec: log.retention.size must be less than storage.size: the log is on that volume",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  service:\n    nodePort: 30022\n",
        "my.yaml:8: spec.service: nodePort is for type: NodePort or LoadBalancer",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  hostKeysSecretRef: {name: keys}\n",
        "my.yaml:7: spec.hostKeysSecretRef: is for Kubernetes: host keys are made in the data directory, where others \
         can be put",
    ),
    (
        "  sshHost: hg.example.org\n",
        "  sshHost: h\n  image: not an image\n",
        "my.yaml:7: spec.image: 'not an image' is not an image: an image reference is allowed, such as \
         registry.example.org/hg-operator:1.0",
    ),
    (
        "  publicUrl: https://hg.example.org\n",
        "  publicUrl: hg.example.org\n",
        "my.yaml:5: spec.publicUrl: 'hg.example.org' is not a web address: http:// or https:// with a host and \
         without '/' at its end is allowed",
    ),
    (
        "    authorizedKeys: {secretRef: {name: developers}}\n",
        "    ldap: {}\n",
        "my.yaml:8: spec.directory.ldap: no such field: authorizedKeys or groups is allowed here",
    ),
    (
        "    authorizedKeys: {secretRef: {name: developers}}\n",
        "    groups: [{name: a, members: all}]\n",
        "my.yaml:8: spec.directory.groups[0].members: a list is allowed here",
    ),
    (
        "kind: SshMaster\n",
        "kind: SshServer\n",
        "my.yaml:2: kind: 'SshServer' is not allowed: SshMaster, MirrorPool or HgRepository is",
    ),
    ("kind: SshMaster\n", "", "my.yaml:3: the field 'kind' is missing"),
    (
        "apiVersion: hg-operator.dev/v1alpha1\nkind: MirrorPool\n",
        "apiVersion: v1\nkind: MirrorPool\n",
        "my.yaml:10: apiVersion: 'v1' is not allowed: hg-operator.dev/v1alpha1 is",
    ),
    (
        "metadata: {name: web}\n",
        "metadata: {name: Web!}\n",
        "my.yaml:12: metadata.name: 'Web!' is not a name: a-z, 0-9, '-' and '.' are allowed, 1 to 253 characters",
    ),
    (
        "metadata: {name: web}\nspec:\n  masterRef: {name: hg}\n",
        "metadata: {name: web}\nspec:\n  masterRef: {name: other}\n",
        "my.yaml:14: spec.masterRef.name: there is no SshMaster 'other' in this file: hg is allowed",
    ),
    (
        "metadata: {name: web}\nspec:\n",
        "metadata: {name: web}\nspec:\n  replicas: -1\n",
        "my.yaml:14: spec.replicas: a whole number is allowed here",
    ),
    (
        "metadata: {name: web}\nspec:\n",
        "metadata: {name: web}\nspec:\n  minActive: 3\n",
        "my.yaml:14: spec.minActive: 3 is more than the 2 of spec.replicas: 0 to 2 is allowed",
    ),
    (
        "metadata: {name: web}\nspec:\n",
        "metadata: {name: web}\nspec:\n  web: {workers: 0}\n",
        "my.yaml:14: spec.web.workers: 0 is out of range: 1 to 64 is allowed",
    ),
    (
        "  path: hello\n",
        "  path: .hidden\n",
        "my.yaml:21: spec.path: '.hidden' is not a repository name: letters, digits, '.', '_' and '-' are allowed in \
         each part between '/', with a letter or digit first and not .hg or .git last",
    ),
    (
        "  path: hello\n",
        "  path: hello\n  writeGroups: developers\n",
        "my.yaml:22: spec.writeGroups: a list is allowed here",
    ),
    (
        "  path: hello\n",
        "  path: hello\n  readOnly: true\n",
        "my.yaml:22: spec.readOnly: a group of fields is allowed here",
    ),
    (
        "  path: hello\n",
        "  path: hello\n  deletionPolicy: Purge\n",
        "my.yaml:22: spec.deletionPolicy: 'Purge' is not allowed: Retain or Delete is",
    ),
    (
        "  path: hello\n",
        "  path: hello\n  source: {url: \"https://hg.example.org/old\"}\n",
        "my.yaml:22: spec.source: is for Kubernetes: push to the repository instead",
    ),
    (
        "  path: hello\n",
        "  path: hello\n  writeGroups: [\"\"]\n",
        "my.yaml:22: spec.writeGroups: '' is not the name of a group: one printable line of 1 to 128 characters is \
         allowed",
    ),
    ("  path: hello\n", "  path: [hello\n", "my.yaml:21: spec.path: unclosed bracket '[' at line 21, column 9"),
    (
        "  path: hello\n",
        "  path: hello\n---\napiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {name: \
         again}\nspec:\n  masterRef: {name: hg}\n  path: hello\n",
        "my.yaml:28: spec.path: 'hello' is the path of HgRepository 'hello' already: each has its own",
    ),
    (
        "  path: hello\n",
        "  path: hello\n---\napiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {name: \
         hello}\nspec:\n  masterRef: {name: hg}\n  path: other\n",
        "my.yaml:25: metadata.name: HgRepository 'hello' is there already, in line 18",
    ),
];

/// One file serves Kubernetes too: what is for pods only is read, and does nothing here.
#[test]
fn what_is_for_pods_is_read() {
    let knobs = "  sshHost: h\n  image: registry.example.org/hg:1\n  resources:\n    requests: {cpu: 2, memory: 1Gi}\n\
                 \u{20} nodeSelector: {disk: ssd}\n  tolerations: [{key: hg, operator: Exists}]\n\
                 \u{20} podAnnotations: {a: b}\n\
                 \u{20} topologySpreadConstraints:\n\
                 \u{20} - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}\n\
                 \u{20} affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}\n\
                 \u{20} imagePullSecrets: [{name: pull}]\n";
    let read = crds::parse("my.yaml", &with("  sshHost: hg.example.org\n", knobs)).unwrap();
    let spec = &read.masters[0].spec;
    let pods = spec.pods();
    let requests = pods.resources.and_then(|resources| resources.requests.as_ref()).unwrap();
    assert_eq!((requests["cpu"].0.as_str(), requests["memory"].0.as_str()), ("2", "1Gi"));
    assert_eq!(pods.tolerations[0].key.as_deref(), Some("hg"));
    assert_eq!(pods.image_pull_secrets[0].name, "pull");
}
