//! values.yaml, values.schema.json and the templates say the same.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use chart::{render, root};
use serde_json::Value;

/// Dotted paths of all keys that the chart itself defines: those whose object the schema closes.
fn keys(values: &Value, schema: &Value, before: &str, found: &mut Vec<String>) {
    for (key, value) in values.as_object().unwrap() {
        let path = format!("{before}{key}");
        let known = &schema["properties"][key];
        assert!(known.is_object(), "{path} is not in values.schema.json");
        assert!(known["description"].is_string(), "{path} has no description in values.schema.json");
        if known["additionalProperties"] == false {
            keys(value, known, &format!("{path}."), found);
        } else {
            found.push(path);
        }
    }
}

/// As many keys as [`keys`] finds in the values.
fn schema_keys(schema: &Value, before: &str, found: &mut Vec<String>) {
    for (key, known) in schema["properties"].as_object().unwrap() {
        let path = format!("{before}{key}");
        if known["additionalProperties"] == false {
            schema_keys(known, &format!("{path}."), found);
        } else if key != "global" {
            found.push(path);
        }
    }
}

fn defaults() -> (String, Value, Value) {
    let chart = root().join("charts/hg-operator");
    let text = fs::read_to_string(chart.join("values.yaml")).unwrap();
    let schema = fs::read_to_string(chart.join("values.schema.json")).unwrap();
    let values = serde_saphyr::from_str(&text).unwrap();
    (text, values, serde_json::from_str(&schema).unwrap())
}

#[test]
fn every_key_is_in_the_schema_and_in_the_values() {
    let (_, values, schema) = defaults();
    let (mut in_values, mut in_schema) = (Vec::new(), Vec::new());
    keys(&values, &schema, "", &mut in_values);
    schema_keys(&schema, "", &mut in_schema);
    in_values.sort();
    in_schema.sort();
    assert_eq!(in_values, in_schema);
    assert!(in_values.contains(&"crds.keep".to_owned()), "{in_values:?}");
}

#[test]
fn every_key_is_used() {
    let (_, values, schema) = defaults();
    let mut all = Vec::new();
    keys(&values, &schema, "", &mut all);
    let templates = root().join("charts/hg-operator/templates");
    let text: String = fs::read_dir(templates)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let text = text.replace("$monitor.", ".Values.metrics.serviceMonitor.");
    for key in all {
        assert!(text.contains(&format!(".Values.{key}")), "no template reads {key}");
    }
}

#[test]
fn every_key_or_its_group_has_a_comment() {
    let (text, _, _) = defaults();
    // A comment holds, down to the next empty line, for keys at its depth and below.
    let mut explained: Option<usize> = None;
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        let line = line.trim();
        if line.is_empty() || explained.is_some_and(|comment| depth < comment) {
            explained = None;
        }
        if line.starts_with('#') {
            explained = explained.or(Some(depth));
        } else if !line.is_empty() && !line.ends_with(':') {
            assert!(explained.is_some(), "nothing says what this does: {line}");
        }
    }
}

#[test]
fn mistakes_are_refused() {
    for (mistake, said) in [
        ("watchNamespace=a", "watchNamespace"),
        ("image.tags=a", "tags"),
        ("replicas=two", "replicas"),
        ("replicas=9", "replicas"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.digest=sha256:12", "digest"),
        ("image.repository=a@b", "repository"),
        ("watchNamespaces={Team_A}", "watchNamespaces"),
        ("crds.keep=yes-please", "keep"),
        ("metrics.serviceMonitor.interval=often", "interval"),
    ] {
        let refusal = render(&["--set", mistake]).expect_err(mistake);
        assert!(refusal.contains(said) && refusal.contains("schema"), "{mistake}: {refusal}");
    }
    render(&["--set", "global.imageRegistry=x", "--set-json", r#"affinity={"nodeAffinity":{"x":[]}}"#]).unwrap();
}
