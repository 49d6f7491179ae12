//! Volumes never shrink, and a StatefulSet's claim template never changes.

use std::sync::Arc;

use crds::conditions::Reason;
use crds::{Quantity, Storage};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::apply::{Hand, refused};
use crate::context::Context;
use crate::metrics;
use crate::names::FIELD_MANAGER;
use crate::objects::pod::claim_spec;
use crate::problem::Problem;

/// The volumes that are there must not have to shrink: nobody can do that without losing data.
pub fn must_not_shrink(wanted: &Storage, claims: &[Arc<PersistentVolumeClaim>]) -> Result<(), Problem> {
    let larger = claims.iter().find_map(|claim| {
        let has = requested(claim)?;
        (has.bytes > wanted.size.bytes).then_some((claim.name_any(), has))
    });
    let Some((claim, has)) = larger else { return Ok(()) };
    let sentence =
        format!("spec.storage.size: {} is less than the {has} that volume claim '{claim}' asks for", wanted.size);
    Err(Problem::user(Reason::StorageShrinks, sentence))
}

/// Claims that are to grow.
pub fn growing(wanted: &Storage, claims: &[Arc<PersistentVolumeClaim>]) -> Vec<Arc<PersistentVolumeClaim>> {
    let smaller =
        |claim: &&Arc<PersistentVolumeClaim>| requested(claim).is_some_and(|has| has.bytes < wanted.size.bytes);
    claims.iter().filter(smaller).cloned().collect()
}

/// The one volume of all SSH instances.
pub fn shared_claim(wanted: &Storage, metadata: ObjectMeta) -> PersistentVolumeClaim {
    let spec = serde_json::from_value(claim_spec(wanted)).ok();
    PersistentVolumeClaim { metadata, spec, ..PersistentVolumeClaim::default() }
}

/// Makes the claim template: as wanted, or, once there is a StatefulSet, as it was made. New claims grow after they
/// were made, as the old ones do.
pub fn template(wanted: &Storage, stateful_set: Option<&StatefulSet>) -> Storage {
    let size = || {
        let spec = stateful_set?.spec.as_ref()?;
        let claim = spec.volume_claim_templates.as_ref()?.first()?;
        requested(claim)
    };
    let class = stateful_set
        .and_then(|set| set.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?.spec.as_ref())
        .map(|claim| claim.storage_class_name.clone());
    Storage {
        mode: wanted.mode,
        size: size().unwrap_or_else(|| wanted.size.clone()),
        storage_class_name: class.unwrap_or_else(|| wanted.storage_class_name.clone()),
    }
}

fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage")?.0.parse().ok()
}

/// Asks for more where a volume is smaller than wanted; says whether anything was written.
pub async fn grow(
    context: &Context,
    wanted: &Storage,
    claims: &[Arc<PersistentVolumeClaim>],
    hand: &Hand<'_>,
) -> Result<bool, Problem> {
    let growing = growing(wanted, claims);
    for claim in &growing {
        // A volume that has grown never shrinks again.
        hand.must_be_current().await?;
        let patch =
            json!({"metadata": {"uid": claim.uid()}, "spec": {"resources": {"requests": {"storage": wanted.size}}}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        metrics::wrote("patch", "PersistentVolumeClaim");
        let name = claim.name_any();
        let grown = hand.api::<PersistentVolumeClaim>().patch(&name, &parameters, &Patch::Merge(&patch)).await;
        let mut grown = match grown {
            Ok(grown) => grown,
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => {
                let sentence = format!("spec.storage.size: volume claim '{name}' does not grow: {}", status.message);
                return Err(Problem::user(Reason::SpecInvalid, sentence));
            }
            Err(error) => return Err(refused(error)),
        };
        crate::world::metadata(&mut grown);
        context.world.claims.put(grown);
    }
    Ok(!growing.is_empty())
}
