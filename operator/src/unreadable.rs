//! A resource of ours that is there and that our types refuse: it was written under definitions of another version.
//! What runs for it goes on as it was last known; that is told, and nothing else is done, until it can be read.

use crds::conditions::{ConditionType, Finding, Reason, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Resource};
use serde_json::json;

use crate::apply::{Applicable, refused};
use crate::context::Context;
use crate::events::EventReason;
use crate::metrics;
use crate::names::STATUS_MANAGER;
use crate::problem::Problem;
use crate::queue::decide::Outcome;
use crate::world::Key;

pub async fn look<K: Applicable>(context: &Context, key: &Key) -> Outcome {
    let (Ok(problem) | Err(problem)) = tell::<K>(context, key).await;
    problem.log(key);
    problem.outcome()
}

/// In the Ready condition; the rest of its status stays as it is.
async fn tell<K: Applicable>(context: &Context, key: &Key) -> Result<Problem, Problem> {
    let (name, kind) = (key.name(), ApiResource::erase::<K>(&()));
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &name.namespace, &kind);
    let mut found = api.get(&name.name).await.map_err(refused)?;
    let read: Result<K, _> = serde_path_to_error::deserialize(json!(found));
    let Err(error) = read else { return Ok(Problem::behind("it can be read again, and that was not heard of yet")) };
    let sentence = format!(
        "{}: {}: this version of the operator cannot read it, and leaves what runs as it is",
        error.path(),
        error.inner()
    );
    let problem = Problem::user(Reason::SpecInvalid, sentence.clone());
    let ready = Finding::new(ConditionType::Ready, false, problem.reason, &*sentence);
    let before: Vec<Condition> =
        serde_json::from_value(found.data["status"]["conditions"].clone()).unwrap_or_default();
    let mut after = conditions(&before, &[ready], found.metadata.generation, Timestamp::now());
    after.extend(before.iter().filter(|one| one.type_ != ConditionType::Ready.as_str()).cloned());
    if after != before {
        found.data["status"]["conditions"] = json!(after);
        let parameters = PostParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PostParams::default() };
        metrics::wrote("status", &kind.kind);
        api.replace_status(&name.name, &parameters, &found).await.map_err(refused)?;
        context.events.tell_of(&found.object_ref(&kind), EventReason::Failed, sentence).await;
    }
    Ok(problem)
}
