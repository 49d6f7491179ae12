//! Dashboards, alerts and docs speak of metrics that exist, and of all that exist.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chart::root;

const PREFIX: &str = "hg_operator_";

/// Words that start as our metrics do, without what Prometheus adds to a histogram's name.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let ours = words.filter(|word| word.len() > PREFIX.len() && word.starts_with(PREFIX));
    ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

/// The names in one source: whole literals, and, where the source puts our prefix before names, the first of several
/// literals between parentheses, as in `gauge("generation", "What it is.")`.
fn of_source(text: &str) -> BTreeSet<String> {
    let literals = text.split('"').filter(|literal| named(literal).contains(*literal));
    let mut found: BTreeSet<String> = literals.map(str::to_owned).collect();
    if let Some((_, prefixed)) = text.split_once("format!(\"hg_operator_") {
        let prefix = format!("{PREFIX}{}", prefixed.split('{').next().unwrap_or_default());
        let calls = text.split("(\"").skip(1).filter_map(|call| call.split_once("\", \""));
        let is_name = |name: &&str| {
            !name.starts_with(PREFIX)
                && name.chars().all(|character| character.is_ascii_lowercase() || character == '_')
        };
        found.extend(calls.map(|(name, _)| name).filter(is_name).map(|name| format!("{prefix}{name}")));
    }
    found
}

/// Those of everything that runs.
fn existing() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root().join("workloads"), root().join("operator")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(of_source(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn metrics_are_found_in_sources() {
    let plain = r#"IntGauge::new("hg_operator_http_connections", "Open ones.")"#;
    assert_eq!(of_source(plain).into_iter().collect::<Vec<_>>(), ["hg_operator_http_connections"]);
    let prefixed = r#"format!("hg_operator_ssh_{name}"); name("commands", "Those."); other("result"); f("Aa", "b");
                      new("hg_operator_role", "1.")"#;
    let found: Vec<_> = of_source(prefixed).into_iter().collect();
    assert_eq!(found, ["hg_operator_role", "hg_operator_ssh_commands"]);
}

fn file(path: &str) -> BTreeSet<String> {
    let named = named(&fs::read_to_string(root().join(Path::new(path))).unwrap());
    assert!(!named.is_empty(), "{path} names no metric");
    named
}

#[test]
fn only_metrics_that_exist_are_shown() {
    let existing = existing();
    for path in ["charts/hg-operator/files/dashboards/hg-operator.json", "docs/operating/alerts.yaml"] {
        let missing: Vec<_> = file(path).difference(&existing).cloned().collect();
        assert!(missing.is_empty(), "{path} speaks of {missing:?}, which no source names");
    }
}

#[test]
fn every_metric_is_documented() {
    let (documented, existing) = (file("docs/operating/monitoring.md"), existing());
    let wrong: Vec<_> = documented.symmetric_difference(&existing).collect();
    assert!(wrong.is_empty(), "not in docs/operating/monitoring.md, or in no source: {wrong:?}");
}

#[test]
fn every_alert_is_documented() {
    let alerts = fs::read_to_string(root().join("docs/operating/alerts.yaml")).unwrap();
    let docs = fs::read_to_string(root().join("docs/operating/monitoring.md")).unwrap();
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(docs.contains(&format!("| `{name}` |")), "{name} is not in monitoring.md");
    }
}
