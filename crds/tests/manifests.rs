//! The generated manifests: current, small, and as the design wants them. `UPDATE_GENERATED=1 cargo test -p crds`
//! writes them anew.

#![allow(clippy::unwrap_used)]

mod generated;

use serde_json::Value;

/// The last-applied annotation of a client that applies on its own side takes 256 KiB; etcd and readers like less.
const MAX_MANIFEST_BYTES: usize = 200_000;

#[test]
fn the_manifests_are_current_and_small() {
    for manifest in crds::manifests().unwrap() {
        assert!(manifest.yaml.len() < MAX_MANIFEST_BYTES, "{} has {} bytes", manifest.file, manifest.yaml.len());
        generated::is_current(&format!("crds/manifests/{}", manifest.file), &manifest.yaml);
    }
    let folder = generated::root().join("crds/manifests");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 3, "nothing else lies there");
}

#[test]
fn names_and_subresources_are_as_designed() {
    let definitions = crds::definitions().unwrap();
    let names: Vec<_> = definitions
        .iter()
        .map(|definition| {
            let names = &definition.spec.names;
            assert_eq!(names.categories.as_deref().unwrap_or_default(), ["hg"]);
            assert_eq!(definition.spec.group, "hg-operator.dev");
            let [version] = &definition.spec.versions[..] else { panic!("one version") };
            assert_eq!(version.name, "v1alpha1");
            let subresources = version.subresources.as_ref().unwrap();
            assert!(subresources.status.is_some());
            let columns: Vec<_> =
                version.additional_printer_columns.iter().flatten().map(|c| c.name.as_str()).collect();
            let scale = subresources.scale.as_ref().map(|scale| scale.status_replicas_path.as_str());
            (names.short_names.clone().unwrap_or_default().join(" "), columns.join(" "), scale)
        })
        .collect();
    let expected = [
        ("hgm", "Ready Reason Master Standby Generation Repos Mirrors Age", None),
        ("hgmp", "Ready Reason Active Lag Age", Some(".status.replicas")),
        ("hgr", "Ready Reason Path Mirrors Last-Push Age", None),
    ];
    assert_eq!(names, expected.map(|(short, columns, scale)| (short.to_owned(), columns.to_owned(), scale)));
}

/// README.md shows what `kubectl get hg` prints; the values there are of one run.
#[test]
fn the_readme_shows_the_columns() {
    let readme = std::fs::read_to_string(generated::root().join("README.md")).unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for definition in crds::definitions().unwrap() {
        let columns = definition.spec.versions[0].additional_printer_columns.iter().flatten();
        let shown = columns.filter(|column| column.priority.unwrap_or_default() == 0).map(|c| c.name.to_uppercase());
        let header: Vec<_> = std::iter::once("NAME".to_owned()).chain(shown).collect();
        let mut below = readme.lines().skip_while(|line| words(line) != header).skip(1);
        let kind = format!("{}.hg-operator.dev/", definition.spec.names.singular.unwrap());
        assert!(
            below.next().is_some_and(|row| row.starts_with(&kind)),
            "README.md is to show {kind} below {header:?}"
        );
    }
}

/// Every field says what it is, every text, list, map and number of a spec is bounded, and no item of a list has a
/// default, which server-side apply would own by accident.
#[test]
fn every_field_is_described_and_bounded() {
    let mut wrong = Vec::new();
    for definition in crds::definitions().unwrap() {
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        for part in ["spec", "status"] {
            let at = format!("{}.{part}", definition.spec.names.kind);
            let part = &schema["openAPIV3Schema"]["properties"][part];
            field(&at, part, &mut wrong);
            if at.ends_with("spec") {
                bounds(&at, part, false, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn field(at: &str, schema: &Value, wrong: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(str::is_empty) {
        wrong.push(format!("{at} has no description"));
    }
    let properties = if schema["items"].is_object() { &schema["items"]["properties"] } else { &schema["properties"] };
    for (name, inner) in properties.as_object().into_iter().flatten() {
        field(&format!("{at}.{name}"), inner, wrong);
    }
}

fn bounds(at: &str, schema: &Value, in_a_list: bool, wrong: &mut Vec<String>) {
    let needed: &[&str] = match schema["type"].as_str() {
        _ if schema["enum"].is_array() => &[],
        Some("string") => &["maxLength"],
        Some("array") => &["maxItems"],
        Some("object") if schema["additionalProperties"].is_object() => &["maxProperties"],
        // Numbers of a pod's own types are Kubernetes' to check.
        Some("integer") if !at.contains("affinity") && !in_a_list => &["minimum", "maximum"],
        _ => &[],
    };
    wrong.extend(needed.iter().filter(|key| schema[**key].is_null()).map(|key| format!("{at} has no {key}")));
    if in_a_list && !schema["default"].is_null() {
        wrong.push(format!("{at} has a default inside a list"));
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        bounds(&format!("{at}.{name}"), inner, in_a_list, wrong);
    }
    for (key, is_list) in [("items", true), ("additionalProperties", in_a_list)] {
        if schema[key].is_object() {
            bounds(&format!("{at}[]"), &schema[key], is_list, wrong);
        }
    }
}
