//! Renders what the chart makes of its values.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use chart::{objects, of_kind, render, root, title};
use serde_json::{Value, json};

fn rendered(arguments: &[&str]) -> Vec<Value> {
    objects(&render(arguments).unwrap()).unwrap()
}

fn titles(objects: &[Value]) -> Vec<String> {
    let without_crds = objects.iter().filter(|object| object["kind"] != "CustomResourceDefinition");
    let mut titles: Vec<String> = without_crds.map(title).collect();
    titles.sort();
    titles
}

/// The rules of files/permissions.yaml below `scope`, without their reasons.
fn permissions(scope: &str) -> Value {
    let text = fs::read_to_string(root().join("charts/hg-operator/files/permissions.yaml")).unwrap();
    let all: Value = serde_saphyr::from_str(&text.replace("LEASE", "hg-operator")).unwrap();
    let mut rules = all[scope].clone();
    for rule in rules.as_array_mut().unwrap() {
        let rule = rule.as_object_mut().unwrap();
        let why = rule.remove("why").expect("a reason");
        assert!(why.as_str().unwrap().len() > 20, "{why}");
        rule.remove("unseen");
    }
    rules
}

#[test]
fn cluster_wide_by_default() {
    let all = rendered(&[]);
    assert_eq!(
        titles(&all),
        [
            "ClusterRole hg-operator",
            "ClusterRole hg-operator-edit",
            "ClusterRole hg-operator-view",
            "ClusterRoleBinding hg-operator",
            "Deployment hg-operator/hg-operator",
            "Pod hg-operator/hg-operator-test-ready",
            "PodDisruptionBudget hg-operator/hg-operator",
            "Role hg-operator/hg-operator-own",
            "RoleBinding hg-operator/hg-operator-own",
            "Service hg-operator/hg-operator-metrics",
            "ServiceAccount hg-operator/hg-operator",
        ]
    );
    assert_eq!(of_kind(&all, "CustomResourceDefinition").len(), 3);
    assert_eq!(of_kind(&all, "ClusterRole")[0]["rules"], permissions("watched"));
    assert_eq!(of_kind(&all, "Role")[0]["rules"], permissions("own"));
}

#[test]
fn a_tenant_gets_roles_and_nothing_cluster_wide() {
    let values = ["--set", "watchNamespaces={a,b},crds.install=false,userRoles.create=false,replicas=1"];
    let all = rendered(&values);
    assert_eq!(
        titles(&all),
        [
            "Deployment hg-operator/hg-operator",
            "Pod hg-operator/hg-operator-test-ready",
            "Role a/hg-operator",
            "Role b/hg-operator",
            "Role hg-operator/hg-operator-own",
            "RoleBinding a/hg-operator",
            "RoleBinding b/hg-operator",
            "RoleBinding hg-operator/hg-operator-own",
            "Service hg-operator/hg-operator-metrics",
            "ServiceAccount hg-operator/hg-operator",
        ]
    );
    assert!(of_kind(&all, "CustomResourceDefinition").is_empty());
    assert_eq!(of_kind(&all, "Role")[1]["rules"], permissions("watched"));
    let arguments = &of_kind(&all, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = arguments.as_array().unwrap();
    assert!(arguments.contains(&json!("--namespace=a")) && arguments.contains(&json!("--namespace=b")));
}

#[test]
fn rules_name_what_they_allow() {
    for scope in ["watched", "own"] {
        for rule in permissions(scope).as_array().unwrap() {
            for part in ["apiGroups", "resources", "verbs"] {
                let names = rule[part].as_array().unwrap();
                assert!(!names.is_empty() && !names.contains(&json!("*")), "{rule}");
            }
        }
    }
}

#[test]
fn crds_outlive_the_release_unless_asked_otherwise() {
    let policy = |arguments: &[&str]| {
        let all = rendered(arguments);
        let crds = of_kind(&all, "CustomResourceDefinition");
        assert_eq!(crds.len(), 3);
        let policies = crds.iter().map(|crd| crd["metadata"]["annotations"]["helm.sh/resource-policy"].clone());
        policies.collect::<Vec<_>>()
    };
    assert_eq!(policy(&[]), vec![json!("keep"); 3]);
    assert_eq!(policy(&["--set", "crds.keep=false"]), vec![Value::Null; 3]);
}

/// Helm reads and writes them anew on the way.
#[test]
fn crds_are_what_the_manifests_say() {
    let all = rendered(&[]);
    for crd in of_kind(&all, "CustomResourceDefinition") {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        let manifest = fs::read_to_string(root().join(format!("crds/manifests/{plural}.yaml"))).unwrap();
        let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
        assert!(alike(&crd["spec"], &manifest["spec"]), "{plural} is another after Helm");
    }
}

/// Equal, but that 1 is 1.0.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| alike(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

#[test]
fn pods_are_restricted() {
    let all = rendered(&[]);
    let test = &of_kind(&all, "Pod")[0]["spec"];
    let operator = &of_kind(&all, "Deployment")[0]["spec"]["template"]["spec"];
    for pod in [test, operator] {
        assert_eq!(
            pod["securityContext"],
            json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                   "seccompProfile": {"type": "RuntimeDefault"}})
        );
        for container in pod["containers"].as_array().unwrap() {
            assert_eq!(
                container["securityContext"],
                json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                       "capabilities": {"drop": ["ALL"]}})
            );
            assert!(container["resources"]["limits"]["memory"].is_string());
            assert!(container["resources"]["requests"]["cpu"].is_string());
        }
    }
}

#[test]
fn selectors_never_change_and_select() {
    let all = rendered(&["--set", "podLabels.team=a"]);
    let deployment = &of_kind(&all, "Deployment")[0]["spec"];
    let selector = &deployment["selector"]["matchLabels"];
    let expected = json!({"app.kubernetes.io/name": "hg-operator", "app.kubernetes.io/instance": "hg-operator",
                          "app.kubernetes.io/component": "operator"});
    assert_eq!(selector, &expected);
    for (key, value) in selector.as_object().unwrap() {
        assert_eq!(&deployment["template"]["metadata"]["labels"][key], value);
    }
    assert_eq!(deployment["template"]["metadata"]["labels"]["team"], "a");
    assert_eq!(of_kind(&all, "Service")[0]["spec"]["selector"], expected);
    assert_eq!(of_kind(&all, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"], expected);
}

#[test]
fn one_image_everywhere() {
    let of = |set: &str| {
        let all = rendered(&["--set", set]);
        let operator = of_kind(&all, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0].clone();
        let image = operator["image"].as_str().unwrap().to_owned();
        assert_eq!(of_kind(&all, "Pod")[0]["spec"]["containers"][0]["image"], operator["image"]);
        assert!(operator["env"].as_array().unwrap().contains(&json!({"name": "HG_OPERATOR_IMAGE", "value": image})));
        image
    };
    assert_eq!(of("image.repository=example.org:5000/hg,image.tag=1.2"), "example.org:5000/hg:1.2");
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(of(&format!("image.repository=a/hg,image.digest={digest}")), format!("a/hg@{digest}"));
    let all = rendered(&["--set", "instances.image=b/hg:1"]);
    let variables = &of_kind(&all, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"];
    assert!(variables.as_array().unwrap().contains(&json!({"name": "HG_OPERATOR_IMAGE", "value": "b/hg:1"})));
}

#[test]
fn monitors_and_dashboards_only_when_asked() {
    let monitored = rendered(&["--set", "metrics.serviceMonitor.enabled=true,watchNamespaces={a}"]);
    let pods = of_kind(&monitored, "PodMonitor")[0];
    assert_eq!(pods["spec"]["namespaceSelector"], json!({"matchNames": ["a"]}));
    assert_eq!(of_kind(&monitored, "ServiceMonitor").len(), 1);
    let all = "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.instances=false,dashboards.enabled=true";
    let all = rendered(&["--set", all]);
    assert!(of_kind(&all, "PodMonitor").is_empty());
    let dashboard = of_kind(&all, "ConfigMap")[0];
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    let text = dashboard["data"]["hg-operator.json"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["panels"].is_array());
}

#[test]
fn the_same_values_render_the_same_bytes() {
    let full = ["--set", "metrics.serviceMonitor.enabled=true,dashboards.enabled=true,watchNamespaces={b,a}"];
    assert_eq!(render(&full).unwrap(), render(&full).unwrap());
}

#[test]
fn names_follow_the_release() {
    let text = chart::run("helm", &["template", "team", "charts/hg-operator", "--namespace", "x"]).unwrap();
    let all = objects(&text).unwrap();
    assert!(titles(&all).contains(&"Deployment x/team-hg-operator".to_owned()), "{:?}", titles(&all));
    let lease = &of_kind(&all, "Role")[0]["rules"][1]["resourceNames"];
    assert_eq!(lease, &json!(["team-hg-operator"]));
}
