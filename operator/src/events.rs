//! Events, for `kubectl describe`; people's alerts match their reasons.

use crds::events::EventKind;
pub use crds::events::EventReason;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};

use crate::problem::{Class, Problem};

/// Made once for the process: it counts what is told again.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    pub fn new(client: Client, identity: String) -> Events {
        let reporter = Reporter { controller: "hg-operator".to_owned(), instance: Some(identity) };
        Events { recorder: Recorder::new(client, reporter) }
    }

    pub async fn tell<K>(&self, about: &K, reason: EventReason, note: String)
    where
        K: Resource<DynamicType = ()> + ResourceExt,
    {
        self.tell_of(&about.object_ref(&()), reason, note).await;
    }

    /// Something is in the way, and the Ready condition did not say so before.
    pub async fn tell_problem<K>(&self, about: &K, before: &[Condition], problem: &Problem)
    where
        K: Resource<DynamicType = ()> + ResourceExt,
    {
        let known = |one: &Condition| one.type_ == "Ready" && one.reason == problem.reason.as_str();
        let somebody_must_act = matches!(problem.class, Class::User | Class::Human);
        if somebody_must_act && !before.iter().any(known) {
            self.tell(about, EventReason::Failed, problem.sentence.clone()).await;
        }
    }

    /// An event that cannot be told is not worth a failure.
    pub async fn tell_of(&self, about: &ObjectReference, reason: EventReason, note: String) {
        let event = Event {
            type_: match reason.kind() {
                EventKind::Normal => EventType::Normal,
                EventKind::Warning => EventType::Warning,
            },
            reason: reason.as_str().to_owned(),
            note: Some(note),
            action: reason.as_str().to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::debug!(%error, reason = event.reason, "an event was not told");
        }
    }
}
