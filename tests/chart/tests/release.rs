//! The chart on a real API server: what an upgrade and an uninstall leave, and what the roles allow. No node runs
//! pods.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use api_server::ApiServer;
use chart::{manifest, objects, root, run};
use serde_json::{Value, json};

const CRDS: [&str; 3] = ["sshmasters", "mirrorpools", "hgrepositories"];
const OPERATOR: &str = "system:serviceaccount:hg-operator:hg-operator";
const AGGREGATION_LIMIT: Duration = Duration::from_secs(60);
const GROUP: &str = "hg-operator.dev";
const LISTS: [Question; 2] = [("list", "", "secrets", "", "code"), ("list", GROUP, "sshmasters", "", "code")];

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

    /// Asks all at once what of these the API server would let `who` do: (verb, group, resource or
    /// resource/subresource, name or nothing, namespace).
    fn allowed<'a>(&self, who: &str, questions: &[Question<'a>]) -> Vec<Question<'a>> {
        let review = |(verb, group, resource, name, namespace): &Question<'a>| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": who, "resourceAttributes": {
                    "verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name,
                    "namespace": namespace,
                }},
            })
        };
        let reviews: Vec<Value> = questions.iter().map(review).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": reviews});
        file.write_all(list.to_string().as_bytes()).unwrap();
        let answer = self.kubectl(&format!("create -o json -f {}", file.path().display()));
        // One object after the other.
        let answers = serde_json::Deserializer::from_str(&answer).into_iter::<Value>();
        let answers: Vec<Value> = answers.collect::<Result<_, _>>().unwrap();
        assert_eq!(answers.len(), questions.len());
        let yes = questions.iter().zip(&answers).filter(|(_, answer)| answer["status"]["allowed"] == true);
        yes.map(|(question, _)| *question).collect()
    }
}

type Question<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

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
    assert_eq!(cluster.allowed(OPERATOR, &LISTS).len(), 0);

    cluster.helm(install);
    assert_eq!(cluster.resources(), resources, "a second installation");
    cluster.helm("uninstall hg-operator --wait");

    cluster.kubectl(&format!("apply --server-side --force-conflicts -f {}", manifest::FILE));
    assert_eq!(cluster.resources(), resources, "the plain manifest");
    assert_eq!(cluster.allowed(OPERATOR, &LISTS), LISTS);
}

fn the_operator_may_do_what_is_listed(cluster: &Cluster) {
    let text = fs::read_to_string(root().join("charts/hg-operator/files/permissions.yaml")).unwrap();
    let permissions = objects(&text).unwrap().remove(0);
    let mut listed = Vec::new();
    for rule in permissions["watched"].as_array().unwrap() {
        let strings = |part: &str| rule[part].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
        for (resource, verb) in strings("resources").flat_map(|r| strings("verbs").map(move |verb| (r, verb))) {
            listed.push((verb, rule["apiGroups"][0].as_str().unwrap(), resource, "", "code"));
        }
    }
    listed.push(("update", "coordination.k8s.io", "leases", "hg-operator", "hg-operator"));
    assert_eq!(cluster.allowed(OPERATOR, &listed), listed);
    let refused = [
        ("delete", "", "persistentvolumeclaims", "", "code"),
        ("create", "", "pods", "", "code"),
        ("create", "", "pods/exec", "", "code"),
        ("update", GROUP, "hgrepositories", "", "code"),
        ("patch", GROUP, "sshmasters", "", "code"),
        ("delete", "coordination.k8s.io", "leases", "", "code"),
        ("escalate", "rbac.authorization.k8s.io", "roles", "", "code"),
        ("list", "", "nodes", "", ""),
    ];
    assert_eq!(cluster.allowed(OPERATOR, &refused), []);
}

fn users_may_do_what_their_role_says(cluster: &Cluster) {
    cluster.kubectl("create rolebinding viewers -n code --clusterrole=view --user=vera");
    cluster.kubectl("create rolebinding editors -n code --clusterrole=edit --user=ed");
    let mut look = Vec::new();
    let mut change = vec![("patch", GROUP, "mirrorpools/scale", "", "code")];
    let mut never = Vec::new();
    for (crd, status) in CRDS.into_iter().zip(["sshmasters/status", "mirrorpools/status", "hgrepositories/status"]) {
        look.extend([("list", GROUP, crd, "", "code"), ("get", GROUP, status, "", "code")]);
        change.extend([("create", GROUP, crd, "", "code"), ("delete", GROUP, crd, "", "code")]);
        never.extend([("patch", GROUP, status, "", "code"), ("create", GROUP, crd, "", "default")]);
    }
    // Aggregation takes the controller a moment.
    let start = Instant::now();
    while cluster.allowed("ed", &change) != change || cluster.allowed("vera", &look) != look {
        assert!(start.elapsed() < AGGREGATION_LIMIT, "roles are not aggregated");
    }
    assert_eq!(cluster.allowed("ed", &look), look);
    assert_eq!(cluster.allowed("vera", &[change, never.clone()].concat()), []);
    assert_eq!(cluster.allowed("ed", &never), []);
}
