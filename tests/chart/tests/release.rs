//! The chart on a real API server: what an upgrade and an uninstall leave, and what the roles allow. No node runs
//! pods.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use api_server::ApiServer;
use chart::{manifest, objects, root, run};
use serde_json::Value;

const CRDS: [&str; 3] = ["sshmasters", "mirrorpools", "hgrepositories"];
const OPERATOR: &str = "system:serviceaccount:hg-operator:hg-operator";

struct Cluster {
    server: ApiServer,
}

impl Cluster {
    fn run(&self, name: &str, line: &str) -> Result<String, String> {
        let kubeconfig = format!("--kubeconfig={}", self.server.kubeconfig().display());
        let arguments: Vec<&str> = line.split_whitespace().chain([&*kubeconfig]).collect();
        run(name, &arguments)
    }

    fn helm(&self, line: &str) -> String {
        self.run("helm", &format!("{line} --namespace hg-operator")).unwrap()
    }

    fn kubectl(&self, line: &str) -> String {
        self.run("kubectl", line).unwrap()
    }

    fn definitions_are_served(&self) {
        for crd in CRDS {
            self.kubectl(&format!("wait --for=condition=Established --timeout=60s crd/{crd}.hg-operator.dev"));
        }
    }

    /// `kind name uid` of every resource of ours.
    fn resources(&self) -> Vec<String> {
        let list = self.kubectl(&format!("get {} -A -o json", CRDS.join(",")));
        let list: Value = serde_json::from_str(&list).unwrap();
        let line = |item: &Value| format!("{} {} {}", item["kind"], item["metadata"]["name"], item["metadata"]["uid"]);
        list["items"].as_array().unwrap().iter().map(line).collect()
    }

    fn may(&self, who: &str, verb: &str, resource: &str, namespace: &str) -> bool {
        let answer = self.run("kubectl", &format!("auth can-i {verb} {resource} --as {who} -n {namespace}"));
        answer.is_ok_and(|answer| answer.trim() == "yes")
    }
}

#[test]
fn a_release_from_its_installation_to_its_end() {
    let cluster = Cluster { server: ApiServer::start() };
    let install = "upgrade --install hg-operator charts/hg-operator --create-namespace";
    let notes = cluster.helm(install);
    assert!(notes.contains("kubectl apply -f examples/quickstart.yaml"), "{notes}");
    cluster.definitions_are_served();
    cluster.kubectl("create namespace code");
    cluster.kubectl("apply -n code -f examples/quickstart.yaml");
    let resources = cluster.resources();
    assert_eq!(resources.len(), 4, "{resources:?}");

    the_operator_may_do_what_is_listed(&cluster);
    users_may_do_what_their_role_says(&cluster);

    cluster.helm("upgrade hg-operator charts/hg-operator --reset-then-reuse-values --set replicas=1");
    assert_eq!(cluster.resources(), resources, "an upgrade");

    cluster.helm("uninstall hg-operator --wait");
    assert_eq!(cluster.resources(), resources, "an uninstall");
    let gone = cluster.run("kubectl", "get clusterrole hg-operator").unwrap_err();
    assert!(gone.contains("NotFound"), "{gone}");
    assert!(!cluster.may(OPERATOR, "list", "secrets", "code"));

    cluster.helm(install);
    assert_eq!(cluster.resources(), resources, "a second installation");
    cluster.helm("uninstall hg-operator --wait");

    cluster.kubectl(&format!("apply --server-side --force-conflicts -f {}", manifest::FILE));
    assert_eq!(cluster.resources(), resources, "the plain manifest");
    assert!(cluster.may(OPERATOR, "list", "secrets", "code"));
}

fn the_operator_may_do_what_is_listed(cluster: &Cluster) {
    let text = fs::read_to_string(root().join("charts/hg-operator/files/permissions.yaml")).unwrap();
    let permissions = objects(&text).unwrap().remove(0);
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    for rule in permissions["watched"].as_array().unwrap() {
        let group = rule["apiGroups"][0].as_str().unwrap();
        for (resource, verb) in
            strings(&rule["resources"]).iter().flat_map(|r| strings(&rule["verbs"]).into_iter().map(move |v| (r, v)))
        {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let resource = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
            let named = format!("{resource} --subresource={subresource}");
            assert!(cluster.may(OPERATOR, &verb, &named, "code"), "{verb} {named}");
        }
    }
    for (verb, resource) in [
        ("delete", "persistentvolumeclaims"),
        ("create", "pods"),
        ("create", "pods --subresource=exec"),
        ("update", "hgrepositories.hg-operator.dev"),
        ("patch", "sshmasters.hg-operator.dev"),
        ("delete", "leases.coordination.k8s.io"),
        ("list", "nodes"),
        ("escalate", "roles.rbac.authorization.k8s.io"),
    ] {
        assert!(!cluster.may(OPERATOR, verb, resource, "code"), "{verb} {resource}");
    }
    assert!(cluster.may(OPERATOR, "update", "leases.coordination.k8s.io/hg-operator", "hg-operator"));
}

fn users_may_do_what_their_role_says(cluster: &Cluster) {
    cluster.kubectl("create rolebinding viewers -n code --clusterrole=view --user=vera");
    cluster.kubectl("create rolebinding editors -n code --clusterrole=edit --user=ed");
    for crd in CRDS {
        let (resource, status) =
            (format!("{crd}.hg-operator.dev"), format!("{crd}.hg-operator.dev --subresource=status"));
        // Aggregation takes the controller a moment.
        let start = std::time::Instant::now();
        while !cluster.may("ed", "create", &resource, "code") {
            assert!(start.elapsed().as_secs() < 30, "{resource}");
        }
        assert!(cluster.may("vera", "list", &resource, "code"));
        assert!(!cluster.may("vera", "create", &resource, "code"));
        assert!(!cluster.may("ed", "patch", &status, "code"));
        assert!(!cluster.may("ed", "create", &resource, "default"));
    }
    assert!(cluster.may("ed", "patch", "mirrorpools.hg-operator.dev --subresource=scale", "code"));
}
