//! Whether the process that holds the register has ended for good, where all instances have one volume: what the
//! watches have may be older than the register, and a container that was started again since may have opened it.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use protocol::InstanceName;
use register::{POD, PREVIOUS_HOLDER};

use crate::names::CONTAINER;
use crate::world::cache::Name;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Runs, or nobody knows.
    Unknown,
    /// Ended: the container has.
    Ended,
    /// Gone: the pod is not there. Whoever removes it by force, or calls its node out of service, has not seen it end.
    Gone,
}

/// Answers what is known of the process of the holder, or of a frozen register of the one before.
pub async fn ended(client: &Client, name: &Name, lease: &Lease, pods: &[Arc<Pod>]) -> Option<(Ending, InstanceName)> {
    let holder = holder(lease)?;
    let pod = pods.iter().find(|pod| pod.name_any() == holder).map(|pod| &**pod);
    let ending = match decide(lease, holder, pod) {
        Ending::Gone if !is_gone(client, name, lease, holder).await => Ending::Unknown,
        other => other,
    };
    Some((ending, holder.parse().ok()?))
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty());
    holder.or_else(|| lease.annotations().get(PREVIOUS_HOLDER).map(String::as_str))
}

/// The UID of the pod that `holder` wrote from, if it was master last: one that is only named has not yet written.
fn seat<'a>(lease: &'a Lease, holder: &str) -> Option<&'a str> {
    let (who, uid) = lease.annotations().get(POD)?.split_once('=')?;
    (who == holder).then_some(uid)
}

fn decide(lease: &Lease, holder: &str, pod: Option<&Pod>) -> Ending {
    let Some(seat) = seat(lease, holder) else { return Ending::Unknown };
    let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(seat)) else { return Ending::Gone };
    let written = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    // Both times are of the clock of the pod's node. A container that was started since has written later.
    match (finished(pod), written) {
        (Some(finished), Some(written)) if finished >= written => Ending::Ended,
        _ => Ending::Unknown,
    }
}

/// Ours. What else a pod has by other people's will, such as a proxy, says nothing.
pub fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find(|container| container.name == CONTAINER)
}

/// How our container ended, if it has and is not known to run again.
pub fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let container = container(pod)?;
    let state = container.state.as_ref()?;
    let before = container.last_state.as_ref().filter(|_| state.waiting.is_some());
    state.terminated.as_ref().or_else(|| before?.terminated.as_ref())
}

fn finished(pod: &Pod) -> Option<Timestamp> {
    terminated(pod)?.finished_at.as_ref().map(|time| time.0)
}

/// The API server itself says so, now.
async fn is_gone(client: &Client, name: &Name, lease: &Lease, holder: &str) -> bool {
    let api: Api<Pod> = Api::namespaced(client.clone(), &name.namespace);
    let asked = ListParams::default().fields(&format!("metadata.name={holder}"));
    match api.list(&asked).await {
        Ok(found) => found.items.iter().all(|pod| pod.metadata.uid.as_deref() != seat(lease, holder)),
        Err(error) => {
            tracing::warn!(pod = holder, %error, "whether it is gone is not known");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OLD: &str = "hg-ssh-0";

    fn lease(renewed: &str) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"annotations": {POD: "hg-ssh-0=first"}},
            "spec": {"holderIdentity": "hg-ssh-0", "renewTime": renewed},
        }))
        .unwrap()
    }

    fn pod(uid: &str, state: Value, last: Value) -> Pod {
        let container = json!({"name": "hgd", "image": "", "imageID": "", "ready": false, "restartCount": 1,
                               "state": state, "lastState": last});
        serde_json::from_value(json!({
            "metadata": {"name": "hg-ssh-0", "uid": uid}, "status": {"containerStatuses": [container]},
        }))
        .unwrap()
    }

    #[test]
    fn only_an_end_after_the_last_writing_counts() {
        let ended = json!({"terminated": {"exitCode": 137, "finishedAt": "2026-01-01T00:00:10Z"}});
        let (none, waiting, running) = (json!({}), json!({"waiting": {}}), json!({"running": {}}));
        let before = lease("2026-01-01T00:00:09.500000Z");
        for (state, last, expected) in [
            (&ended, &none, Ending::Ended),
            (&waiting, &ended, Ending::Ended),
            (&running, &ended, Ending::Unknown),
            (&waiting, &none, Ending::Unknown),
        ] {
            assert_eq!(
                decide(&before, OLD, Some(&pod("first", state.clone(), last.clone()))),
                expected,
                "{state} {last}"
            );
        }
        // A container that was started again has opened the volume; that it runs is not known here yet.
        let after = lease("2026-01-01T00:00:11.000000Z");
        assert_eq!(decide(&after, OLD, Some(&pod("first", ended.clone(), none.clone()))), Ending::Unknown);
        // Another pod of that name, or none.
        assert_eq!(decide(&after, OLD, Some(&pod("second", running, none))), Ending::Gone);
        assert_eq!(decide(&after, OLD, None), Ending::Gone);
        assert_eq!(decide(&after, "hg-ssh-1", None), Ending::Unknown, "one that was named has not opened yet");
        assert_eq!(decide(&Lease::default(), OLD, None), Ending::Unknown, "nobody has reigned yet");
    }

    #[test]
    fn the_end_of_a_sidecar_is_not_the_end_of_the_master() {
        let (running, ended) = (json!({"running": {}}), json!({"terminated": {"exitCode": 1, "finishedAt": null}}));
        let mut pod = pod("first", running.clone(), json!({}));
        let sidecar = |state| {
            let mut other = pod_status(state);
            other.name = "proxy".to_owned();
            other
        };
        pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap().insert(0, sidecar(ended.clone()));
        assert!(terminated(&pod).is_none());
        let mut pod = super::tests::pod("first", ended, json!({}));
        pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap().insert(0, sidecar(running));
        assert!(terminated(&pod).is_some());
    }

    fn pod_status(state: Value) -> ContainerStatus {
        pod("", state, json!({})).status.unwrap().container_statuses.unwrap().remove(0)
    }

    #[test]
    fn of_a_frozen_register_it_is_the_one_before() {
        let frozen: Lease = serde_json::from_value(json!({
            "metadata": {"annotations": {PREVIOUS_HOLDER: "hg-ssh-0"}}, "spec": {"holderIdentity": ""},
        }))
        .unwrap();
        assert_eq!(holder(&frozen), Some("hg-ssh-0"));
        assert_eq!(holder(&lease("2026-01-01T00:00:00.000000Z")), Some("hg-ssh-0"));
        assert_eq!(holder(&Lease::default()), None);
    }
}
