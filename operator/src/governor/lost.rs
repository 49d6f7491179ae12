//! A register that is missing while volumes exist: what all instances hold says who is master (`failover::remake`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::SshMaster;
use failover::{InstanceReport, Lost, remake};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use protocol::{Generation, InstanceName};
use register::State;
use tokio::time::timeout;

use super::{REQUEST, is_shared, tell, wish, workload};
use crate::context::Context;
use crate::events::EventReason;
use crate::metrics;
use crate::names::{Component, FIELD_MANAGER, labels};
use crate::world::cache::Name;

/// So long instances may take to answer before anybody is told that they do not.
const PATIENCE: Duration = Duration::from_secs(3);
/// After what was in vain.
const AGAIN: Duration = Duration::from_secs(1);

/// As the watches have it.
pub fn is_lost(context: &Context, name: &Name) -> bool {
    context.world.registers.get(name).is_none() && !context.world.claims_of(name).is_empty()
}

/// Lists the instances whose volumes there are, also of those that are not wanted any more, and those that there are
/// to be.
fn instances(context: &Context, name: &Name, master: &SshMaster) -> BTreeSet<InstanceName> {
    let volume = |claim: &std::sync::Arc<PersistentVolumeClaim>| {
        let claim = claim.name_any();
        // `data-hg-ssh-0`; the one that all instances share is nobody's.
        claim.strip_prefix("data-").filter(|pod| workload(name).ordinal(pod).is_some())?.parse().ok()
    };
    let wanted = (0..master.spec.instances).filter_map(|ordinal| workload(name).instance(ordinal));
    context.world.claims_of(name).iter().filter_map(volume).chain(wanted).collect()
}

/// A register that is missing, for as long as it is.
#[derive(Default)]
pub struct Loss {
    since: Option<Duration>,
    tried: Option<Duration>,
    read: Option<Duration>,
    /// Object that stands in its place, as last read.
    unseen: Option<String>,
}

impl Loss {
    /// Makes it again, or answers why it cannot be, or could not.
    pub async fn look(
        &mut self,
        context: &Context,
        client: &Client,
        (name, master): (&Name, &SshMaster),
        (now, answers): (Duration, &BTreeMap<InstanceName, (Duration, InstanceReport)>),
    ) -> Option<String> {
        let lost_for = now - *self.since.get_or_insert(now);
        let told = master.status.as_ref().and_then(|status| status.generation).unwrap_or_default();
        let lost = Lost {
            instances: &instances(context, name, master),
            answers,
            told: Generation(told.try_into().unwrap_or_default()),
            shared: is_shared(master),
            word: master.annotations().get(wish::FENCED) == Some(&told.to_string()),
        };
        let made = match remake(now, &lost) {
            Ok(_) if !is_due(&mut self.tried, now) => return context.notes.get(name).trouble,
            Ok(state) => make(context, client, name, &state).await.map(|()| state),
            Err(missing) => Err(missing.to_string()),
        };
        match made {
            Ok(state) => {
                let holder = state.master.as_ref().map_or("nobody", InstanceName::as_str);
                let sentence = format!("{holder} is master of generation {}: it holds most", state.generation);
                tracing::warn!(master = %name, sentence, "the register was missing, and is made again");
                tell(context, master, EventReason::RegisterMade, sentence);
                None
            }
            Err(_) if lost_for < PATIENCE => None,
            Err(why) => {
                if is_due(&mut self.read, now) {
                    tracing::debug!(master = %name, why, "the register was not made again");
                    match unseen(client, name).await {
                        Ok(unseen) => self.unseen = unseen,
                        Err(reason) => tracing::warn!(master = %name, reason, "the register's place cannot be read"),
                    }
                }
                Some(self.unseen.clone().unwrap_or(why))
            }
        }
    }
}

/// Whether that was last done long enough ago to be done again; if so it is done now.
fn is_due(last: &mut Option<Duration>, now: Duration) -> bool {
    let due = last.is_none_or(|last| now >= last + AGAIN);
    if due {
        *last = Some(now);
    }
    due
}

/// Reads what our watch does not show, since it only sees what has the labels.
async fn unseen(client: &Client, name: &Name) -> Result<Option<String>, String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), &name.namespace);
    let found = timeout(REQUEST, leases.get_metadata_opt(&name.name)).await;
    let found = found.map_err(|late| late.to_string())?.map_err(|error| error.to_string())?;
    let labels = labels(Component::Ssh, &name.name);
    let Some(found) = found.filter(|found| labels.iter().any(|(key, value)| found.labels().get(key) != Some(value)))
    else {
        return Ok(None);
    };
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(Some(format!(
        "the register is missing, and Lease '{}' is in its place without its labels: if that is the register, label \
         it {}, else delete it",
        found.name_any(),
        labels.join(" ")
    )))
}

/// Refused when there is one, whatever the watches have.
async fn make(context: &Context, client: &Client, name: &Name, state: &State) -> Result<(), String> {
    let metadata = ObjectMeta {
        name: Some(name.name.clone()),
        namespace: Some(name.namespace.clone()),
        labels: Some(labels(Component::Ssh, &name.name)),
        ..ObjectMeta::default()
    };
    let leases: Api<Lease> = Api::namespaced(client.clone(), &name.namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    metrics::wrote("create", "Lease");
    let lease = register::to_lease(metadata, state);
    match timeout(REQUEST, leases.create(&parameters, &lease)).await {
        Ok(Ok(mut made)) => {
            crate::world::metadata(&mut made);
            context.world.registers.put(made);
            Ok(())
        }
        Ok(Err(error)) => Err(format!("the register is missing and cannot be made again: {error}")),
        Err(_) => Err(format!(
            "the register is missing and cannot be made again: the API server did not answer within {} s",
            REQUEST.as_secs()
        )),
    }
}
