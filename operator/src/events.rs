//! Events, for `kubectl describe`. Their reasons are a closed list, as those of conditions are; people's alerts match
//! them.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};

use crate::problem::{Class, Problem};

macro_rules! reasons {
    ($($name:ident: $type:ident, $meaning:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventReason {
            $(#[doc = $meaning] $name,)*
        }

        impl EventReason {
            fn as_str(self) -> &'static str {
                match self {
                    $(EventReason::$name => stringify!($name),)*
                }
            }

            fn type_(self) -> EventType {
                match self {
                    $(EventReason::$name => EventType::$type,)*
                }
            }
        }
    };
}

reasons! {
    Created: Normal, "An object was made.",
    Updated: Normal, "An object was changed.",
    Removed: Normal, "An object that is not asked for any more was removed.",
    Restarting: Normal, "A pod is deleted so that it starts again as it should be.",
    MasterChanged: Normal, "Another instance is master.",
    MirrorJoined: Normal, "Readers are sent to a mirror.",
    MirrorLeft: Normal, "Readers are not sent to a mirror any more.",
    RepositoryDeleted: Normal, "The repository was deleted on the master.",
    Failed: Warning, "Something is in the way; the Ready condition says the same.",
}

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
            type_: reason.type_(),
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
