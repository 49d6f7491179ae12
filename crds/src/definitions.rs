//! The CustomResourceDefinitions as they are installed: what kube derives from the types, made fit for the API server
//! and for readers.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{HgRepository, MirrorPool, SshMaster, schema};

/// Lists, maps and texts of Kubernetes' own types have no bounds of their own, and rules need them.
const MAX_ITEMS: usize = 64;
const MAX_PROPERTIES: usize = 64;
const MAX_CHARACTERS: usize = 1024;

/// One file of `crds/manifests`.
pub struct Manifest {
    pub file: String,
    pub yaml: String,
}

/// SshMaster, MirrorPool and HgRepository.
pub fn definitions() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [
        (SshMaster::crd(), Some(schema::workload_name_rule())),
        (MirrorPool::crd(), Some(schema::workload_name_rule())),
        (HgRepository::crd(), None),
    ]
    .into_iter()
    .map(|(derived, rule)| fit(&derived, rule))
    .collect()
}

/// The definitions as files, each under the plural name of its resource.
pub fn manifests() -> Result<Vec<Manifest>, ManifestError> {
    let manifest = |definition: CustomResourceDefinition| {
        let body = serde_saphyr::to_string(&definition)?;
        Ok(Manifest { file: format!("{}.yaml", definition.spec.names.plural), yaml: format!("{HEAD}{body}") })
    };
    definitions()?.into_iter().map(manifest).collect()
}

const HEAD: &str = "# Generated from the types of crds/src; a test keeps it current (docs/reference/resources.md).\n";

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("a definition is not what Kubernetes calls one: {0}")]
    Definition(#[from] serde_json::Error),
    #[error("a definition cannot be written: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

fn fit(
    derived: &CustomResourceDefinition,
    rule: Option<Value>,
) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut definition = serde_json::to_value(derived)?;
    for version in definition["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let root = &mut version["schema"]["openAPIV3Schema"];
        tidy(root);
        bound(&mut root["properties"]["spec"]);
        if let Some(rule) = &rule {
            root["x-kubernetes-validations"] = json!([rule]);
        }
    }
    serde_json::from_value(definition)
}

/// The API server knows no unsigned numbers, and a default of nothing is none. A description is one paragraph.
fn tidy(schema: &mut Value) {
    each(schema, &mut |schema| {
        if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
            schema.remove("format");
        }
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::String(description)) = schema.get_mut("description") {
            let first = description.split("\n\n").next().unwrap_or_default();
            *description = first.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    });
}

/// Whatever has no bound gets one.
fn bound(schema: &mut Value) {
    each(schema, &mut |schema| {
        let (key, most) = match schema.get("type").and_then(Value::as_str) {
            Some("array") => ("maxItems", MAX_ITEMS),
            Some("object") if schema.contains_key("additionalProperties") => ("maxProperties", MAX_PROPERTIES),
            Some("string") if !schema.contains_key("enum") => ("maxLength", MAX_CHARACTERS),
            _ => return,
        };
        schema.entry(key).or_insert_with(|| json!(most));
    });
}

/// Every schema in a schema, itself included.
fn each(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(fields) = schema.as_object_mut() else { return };
    visit(fields);
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(key) {
            each(inner, visit);
        }
    }
    for inner in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        each(inner, visit);
    }
}
