//! Slims what is kept in memory: half of what the API server says is about who wrote it (facts/operators.md, 5B).

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodSpec};
use kube::ResourceExt;

pub fn metadata<K: ResourceExt>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// Keeps of a pod only who and how it is.
pub fn pod(pod: &mut Pod) {
    metadata(pod);
    let node = pod.spec.take().and_then(|spec| spec.node_name);
    pod.spec = Some(PodSpec { node_name: node, ..PodSpec::default() });
}

pub fn claim(claim: &mut PersistentVolumeClaim) {
    metadata(claim);
}
