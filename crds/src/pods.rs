//! Pods of a workload, as a person may describe them, in the words of a pod; and what the API server checks of that.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer};
use serde_json::json;

const MAX_ITEMS: usize = 32;
const MAX_RESOURCES: usize = 16;

/// The knobs of the pods of one workload, wherever they stand.
pub struct Pods<'a> {
    pub image: Option<&'a str>,
    pub resources: Option<&'a ResourceRequirements>,
    pub node_selector: &'a BTreeMap<String, String>,
    pub affinity: Option<&'a Affinity>,
    pub tolerations: &'a [Toleration],
    pub topology_spread_constraints: &'a [TopologySpreadConstraint],
    pub pod_annotations: &'a BTreeMap<String, String>,
    pub image_pull_secrets: &'a [crate::SecretRef],
}

macro_rules! pods {
    ($($spec:ty),*) => {$(
        impl $spec {
            pub fn pods(&self) -> Pods<'_> {
                Pods {
                    image: self.image.as_deref(),
                    resources: self.resources.as_ref(),
                    node_selector: &self.node_selector,
                    affinity: self.affinity.as_ref(),
                    tolerations: &self.tolerations,
                    topology_spread_constraints: &self.topology_spread_constraints,
                    pod_annotations: &self.pod_annotations,
                    image_pull_secrets: &self.image_pull_secrets,
                }
            }
        }
    )*};
}

pods!(crate::SshMasterSpec, crate::MirrorPoolSpec);

/// Amounts of processor and memory; a number counts as its text, as in a pod.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct Resources {
    requests: BTreeMap<String, Amount>,
    limits: BTreeMap<String, Amount>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Amount {
    Number(i64),
    Text(String),
}

pub(crate) fn resources<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ResourceRequirements>, D::Error> {
    let read = Resources::deserialize(from)?;
    let amounts = |amounts: BTreeMap<String, Amount>| {
        let text = |amount| match amount {
            Amount::Number(number) => Quantity(number.to_string()),
            Amount::Text(text) => Quantity(text),
        };
        let amounts: BTreeMap<_, _> = amounts.into_iter().map(|(name, amount)| (name, text(amount))).collect();
        (!amounts.is_empty()).then_some(amounts)
    };
    Ok(Some(ResourceRequirements { claims: None, limits: amounts(read.limits), requests: amounts(read.requests) }))
}

pub(crate) fn resources_schema(_: &mut SchemaGenerator) -> Schema {
    // The pattern of Kubernetes' own quantities, as controller-gen writes it.
    let number = r"([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)";
    let suffix = "(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?[0-9]+))?";
    let amount = json!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "maxLength": 32,
        "pattern": format!("^{number}{suffix}$"),
    });
    let amounts = |description: &str| {
        json!({
            "type": "object", "description": description, "maxProperties": MAX_RESOURCES,
            "additionalProperties": amount,
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "requests": amounts("What a node must have free, such as cpu: 500m and memory: 1Gi."),
            "limits": amounts("What a pod never gets more of, such as memory: 2Gi."),
        },
    })
}

pub(crate) fn affinity_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Affinity>()
}

pub(crate) fn tolerations_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut toleration = generator.subschema_for::<Toleration>();
    one_of(&mut toleration, "operator", &["Equal", "Exists"]);
    one_of(&mut toleration, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    list(toleration)
}

pub(crate) fn topology_spread_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut spread = generator.subschema_for::<TopologySpreadConstraint>();
    one_of(&mut spread, "whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]);
    one_of(&mut spread, "nodeAffinityPolicy", &["Honor", "Ignore"]);
    one_of(&mut spread, "nodeTaintsPolicy", &["Honor", "Ignore"]);
    list(spread)
}

pub(crate) fn pull_secrets_schema(generator: &mut SchemaGenerator) -> Schema {
    list(generator.subschema_for::<crate::SecretRef>())
}

/// Refuses what a pod would be refused for later.
fn one_of(schema: &mut Schema, field: &str, values: &[&str]) {
    if let Some(field) = schema.pointer_mut(&format!("/properties/{field}")) {
        field["enum"] = json!(values);
    }
}

fn list(item: Schema) -> Schema {
    json_schema!({ "type": "array", "maxItems": MAX_ITEMS, "items": item })
}
