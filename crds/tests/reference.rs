//! `docs/reference/resources.md`, written from the definitions. `UPDATE_GENERATED=1 cargo test -p crds` writes it.

#![allow(clippy::unwrap_used)]

mod generated;

use std::fmt::Write;

use crds::conditions::{ConditionType, Reason};
use serde_json::Value;

/// Groups that are a pod's own; `kubectl explain` shows what is in them.
const AS_IN_A_POD: &[&str] = &["affinity", "tolerations", "topologySpreadConstraints"];

const HEAD: &str = "\
# Reference: the three resources

Generated from the types of `crds/`; a test keeps this page current (`UPDATE_GENERATED=1 cargo test -p crds` writes it
and `crds/manifests/` anew). `kubectl explain hgm.spec` shows the same on a cluster.

What is not listed is not accepted. *Required* fields have no default. Rules are checked by the API server, which
answers with the sentence that stands here; `hgd all-in-one` reads the same fields from a file.
";

#[test]
fn the_reference_is_current() {
    let mut page = HEAD.to_owned();
    let conditions = [crds::SshMaster::CONDITIONS, crds::MirrorPool::CONDITIONS, crds::HgRepository::CONDITIONS];
    for (definition, conditions) in crds::definitions().unwrap().iter().zip(conditions) {
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        resource(&mut page, &definition.spec.names, &schema["openAPIV3Schema"], conditions);
    }
    reasons(&mut page);
    generated::is_current("docs/reference/resources.md", &page);
}

type Names = k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionNames;

fn resource(page: &mut String, names: &Names, schema: &Value, conditions: &[ConditionType]) {
    let short = names.short_names.clone().unwrap_or_default().join(", ");
    let about = schema["description"].as_str().unwrap_or_default();
    write!(page, "\n## {} (`{short}`)\n\n{about}\n", names.kind).unwrap();
    let mut rules = Vec::new();
    collect_rules("metadata.name", &schema["x-kubernetes-validations"], &mut rules);
    page.push_str("\n### spec\n\n| field | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n");
    fields(page, "", &schema["properties"]["spec"], &mut rules);
    page.push_str("\nRules:\n\n");
    for (at, message) in &rules {
        writeln!(page, "- `{at}`: {message}").unwrap();
    }
    page.push_str("\n### status\n\n| field | type | meaning |\n| --- | --- | --- |\n");
    let mut rows = String::new();
    fields(&mut rows, "", &schema["properties"]["status"], &mut Vec::new());
    for row in rows.lines() {
        let cells: Vec<_> = row.split(" | ").collect();
        writeln!(page, "{} | {} | {}", cells[0], cells[1], cells[4]).unwrap();
    }
    page.push_str("\n### Conditions\n\n| type | meaning when true |\n| --- | --- |\n");
    for condition in conditions {
        writeln!(page, "| `{condition}` | {} |", condition.meaning()).unwrap();
    }
}

fn fields(page: &mut String, at: &str, schema: &Value, rules: &mut Vec<(String, String)>) {
    collect_rules(if at.is_empty() { "spec" } else { at }, &schema["x-kubernetes-validations"], rules);
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "*required*".to_owned(),
            Value::Null => String::new(),
            // Its fields say theirs.
            Value::Object(_) => String::new(),
            value => format!("`{value}`"),
        };
        let meaning = field["description"].as_str().unwrap_or_default().replace('|', "\\|");
        let (kind, allowed) = (kind(field), allowed(field));
        writeln!(page, "| `{path}` | {kind} | {default} | {allowed} | {meaning} |").unwrap();
        if AS_IN_A_POD.contains(&name.as_str()) {
            continue;
        }
        if field["items"].is_object() {
            fields(page, &format!("{path}[]"), &field["items"], rules);
            collect_rules(&path, &field["x-kubernetes-validations"], rules);
        } else {
            fields(page, &path, field, rules);
        }
    }
}

fn collect_rules(at: &str, validations: &Value, rules: &mut Vec<(String, String)>) {
    for rule in validations.as_array().into_iter().flatten() {
        rules.push((at.to_owned(), rule["message"].as_str().unwrap().to_owned()));
    }
}

fn kind(field: &Value) -> String {
    match field["type"].as_str() {
        Some("string") => "text".into(),
        Some("integer") => "number".into(),
        Some("boolean") => "true or false".into(),
        Some("array") => format!("list of {}s", kind(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map of {}s", kind(&field["additionalProperties"]))
        }
        Some("object") => "group".into(),
        _ if field["x-kubernetes-int-or-string"] == true => "amount".into(),
        other => panic!("a field of type {other:?}"),
    }
}

fn allowed(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        return values.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
    }
    let bound = |key: &str| field[key].as_f64().map(|bound| format!("{bound}"));
    if let (Some(low), Some(high)) = (bound("minimum"), bound("maximum")) {
        return format!("{low} to {high}");
    }
    let most = [("maxLength", "characters"), ("maxItems", "items"), ("maxProperties", "entries")];
    most.iter().find_map(|(key, unit)| bound(key).map(|most| format!("at most {most} {unit}"))).unwrap_or_default()
}

fn reasons(page: &mut String) {
    page.push_str("\n## Reasons of conditions\n\n| reason | meaning |\n| --- | --- |\n");
    for reason in Reason::ALL {
        writeln!(page, "| `{reason}` | {} |", reason.meaning()).unwrap();
    }
}
