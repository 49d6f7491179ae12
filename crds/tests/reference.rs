//! `docs/reference/resources.md`, written from the definitions. `UPDATE_GENERATED=1 cargo test -p crds` writes it.

#![allow(clippy::unwrap_used)]

mod generated;

use std::fmt::Write;

use crds::conditions::{ConditionType, Reason};
use crds::events::{EventKind, EventReason};
use serde_json::Value;

/// Groups that are a pod's own; `kubectl explain` shows what is in them.
const AS_IN_A_POD: &[&str] = &["affinity", "tolerations", "topologySpreadConstraints"];

const HEAD: &str = "\
# Reference: the three resources

Generated from the types of `crds/`; a test keeps this page current (`UPDATE_GENERATED=1 cargo test -p crds` writes it
and `crds/manifests/` anew). `kubectl explain hgm.spec` shows the same on a cluster.

What is not listed is not accepted. *Required* fields have no default. The API server refuses what is not allowed, with
the sentence that stands here; `hgd all-in-one` reads the same fields from a file.
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
    let spec = &schema["properties"]["spec"];
    let whole: Vec<_> = rules(schema).into_iter().chain(rules(spec)).collect();
    if !whole.is_empty() {
        write!(page, "\nOf the whole:\n\n- {}\n", whole.join("\n- ")).unwrap();
    }
    page.push_str("\n### spec\n\n| field | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n");
    for field in fields("", spec) {
        let Field { path, kind, default, allowed, meaning } = field;
        writeln!(page, "| `{path}` | {kind} | {default} | {allowed} | {meaning} |").unwrap();
    }
    page.push_str("\n### status\n\n| field | type | meaning |\n| --- | --- | --- |\n");
    for Field { path, kind, meaning, .. } in fields("", &schema["properties"]["status"]) {
        writeln!(page, "| `{path}` | {kind} | {meaning} |").unwrap();
    }
    page.push_str("\n### Conditions\n\n| type | meaning when true |\n| --- | --- |\n");
    for condition in conditions {
        writeln!(page, "| `{condition}` | {} |", condition.meaning()).unwrap();
    }
}

struct Field {
    path: String,
    kind: String,
    default: String,
    allowed: String,
    meaning: String,
}

/// All fields below, each before those in it.
fn fields(at: &str, schema: &Value) -> Vec<Field> {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut all = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "*required*".to_owned(),
            // The fields of a group say theirs.
            Value::Null | Value::Object(_) => String::new(),
            value => format!("`{value}`"),
        };
        let meaning = field["description"].as_str().unwrap_or_default().replace('|', "\\|");
        all.push(Field { path: path.clone(), kind: kind(field), default, allowed: allowed(field), meaning });
        if AS_IN_A_POD.contains(&name.as_str()) {
            continue;
        }
        if field["items"].is_object() {
            all.extend(fields(&format!("{path}[]"), &field["items"]));
        } else {
            all.extend(fields(&path, field));
        }
    }
    all
}

fn rules(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.map(|rule| rule["message"].as_str().unwrap().to_owned()).collect()
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
    let said: Vec<_> = rules(field).into_iter().chain(rules(&field["items"])).collect();
    let simple = field["items"]["properties"].is_null();
    if !said.is_empty() && simple {
        return said.join("; ").replace('|', "\\|");
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
    page.push_str("\n## Reasons of events\n\n| reason | type | meaning |\n| --- | --- | --- |\n");
    for reason in EventReason::ALL {
        let kind = match reason.kind() {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        };
        writeln!(page, "| `{}` | {kind} | {} |", reason.as_str(), reason.meaning()).unwrap();
    }
}
