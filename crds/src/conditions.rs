//! Conditions: what is true of a resource, as Kubernetes' conventions want it said. The types and reasons are closed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Kubernetes refuses a longer message.
pub const MAX_MESSAGE_BYTES: usize = 32_768;

/// An enum of names, each with what it means; the reference is written from it.
macro_rules! closed {
    ($(#[$doc:meta])* $name:ident { $($variant:ident: $meaning:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)*
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => stringify!($variant),)*
                }
            }

            pub fn meaning(self) -> &'static str {
                match self {
                    $($name::$variant => $meaning,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

closed! {
    /// Subject of a condition.
    ConditionType {
        Ready: "The summary: everything that the spec asks for is there and works.",
        Available: "Somebody is served: a master accepts pushes, or a mirror answers readers.",
        Progressing: "The operator is on its way to what the spec asks for.",
        Degraded: "Something that the spec asks for is missing or fails, though others are served.",
        StandbyInSync: "A standby has every committed record, so that the master can be lost without losing a push.",
        PromotionReady: "Should the master be lost, a standby takes its place.",
        DirectoryReachable: "Who may log in is known: the secret is there and can be read.",
        LogWritable: "The master's log takes pushes now, as the master itself says it.",
        Suspended: "Nothing is changed on behalf of this resource, as spec.suspend says.",
        Replicating: "Every mirror follows the master within the bounds of spec.maxLag.",
        AtFloor: "No further mirror may leave the active set: spec.minActive is reached, and publication waits.",
        Replicated: "Every active mirror shows the newest record of this repository that the master has told of.",
        ReadOnly: "Pushes are refused, as spec.readOnly of this repository or of its SshMaster says.",
        Quarantined: "An SSH instance or a mirror has set this repository aside after repeated failure.",
        Imported: "The repository has been filled from spec.source.",
    }
}

closed! {
    /// Why a condition is as it is.
    Reason {
        AllReady: "Everything that the spec asks for is there.",
        Reconciling: "The operator has not seen enough yet.",
        InstancesNotReady: "Not all instances are ready.",
        NoMaster: "No instance accepts pushes.",
        MasterAccepts: "An instance accepts pushes.",
        MasterUnreachable: "The master does not answer the operator.",
        MirrorsServe: "At least one mirror answers readers.",
        NoActiveMirror: "No mirror is active.",
        Applied: "The objects are as the spec asks for.",
        RollingOut: "Instances are replaced one by one.",
        Scaling: "Instances are added or taken away.",
        InSync: "All records have arrived.",
        StandbyBehind: "No standby has all records.",
        NoStandby: "There is one instance only, hence no standby.",
        FailoverOff: "spec.failover.enabled is false.",
        PromotionBlocked: "A promotion is due or asked for, and cannot be made now.",
        SecretFound: "The secret is there and can be read.",
        SecretMissing: "A secret that the spec names does not exist.",
        SecretInvalid: "A secret that the spec names does not have what is needed.",
        LogOpen: "The master appends to its log.",
        LogFull: "The volume of the master's log is full, and pushes are refused.",
        LogFailed: "The volume of the master's log did not take the last record.",
        NoStandbyLeft: "No standby is in sync, and spec.log.durability is Strict: pushes are refused.",
        StandbyAway: "A standby that every push needs is not connected, and pushes are refused.",
        PushesFail: "Every push fails on the master, for a reason of its own that the message says.",
        SwitchingOver: "Another master is to be named, and pushes are refused meanwhile.",
        LeaseOver: "The master could not renew its register in time, and refuses pushes.",
        SuspendedBySpec: "spec.suspend is true.",
        NotSuspended: "spec.suspend is false.",
        WithinLag: "Every mirror is within spec.maxLag.",
        BeyondLag: "A mirror is beyond spec.maxLag.",
        FloorReached: "Only spec.minActive mirrors are active.",
        AboveFloor: "More than spec.minActive mirrors are active.",
        AllMirrorsShow: "All active mirrors show the newest record.",
        MirrorsBehind: "An active mirror does not show the newest record yet, or has set the repository aside.",
        NoMirrors: "There is no active mirror.",
        PrivateRepository: "The repository has readGroups, and is served over SSH only.",
        ReadOnlyBySpec: "The repository's spec.readOnly is set.",
        ReadOnlyByMaster: "The spec.readOnly of its SshMaster is set.",
        Writable: "Pushes are accepted.",
        QuarantinedOnMirror: "A mirror has set the repository aside.",
        QuarantinedOnInstance: "An SSH instance has set the repository aside.",
        NotQuarantined: "Nobody has set the repository aside.",
        NoSource: "spec.source is not set.",
        Importing: "The master is reading spec.source.",
        ImportDone: "The master has read spec.source.",
        ImportFailed: "The master could not read spec.source.",
        MasterNotFound: "spec.masterRef names no SshMaster in this namespace.",
        MasterNotReady: "The SshMaster is not ready.",
        Deleting: "The resource is being deleted, and the master has not deleted the repository yet.",
        PathTaken: "An older HgRepository has the same path on the same SshMaster.",
        SpecInvalid: "The spec asks for what is not allowed.",
        RegisterLost: "The register is missing while volumes exist, and not all instances answer what they hold.",
        StorageShrinks: "spec.storage.size is less than the volumes have.",
        ForeignObject: "An object with the name of ours belongs to somebody else.",
        Contested: "Somebody else changes an object of ours again and again; it is set back later each time.",
        Forbidden: "The operator is not allowed to do what it must.",
        ApiFailed: "The API server did not do what the operator asked for.",
        Refused: "The master has refused the change.",
    }
}

/// True, False or Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(is: bool) -> ConditionStatus {
        if is { ConditionStatus::True } else { ConditionStatus::False }
    }
}

/// Finding of the operator about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub about: ConditionType,
    pub status: ConditionStatus,
    pub reason: Reason,
    /// One sentence, the same as in the log.
    pub message: String,
}

impl Finding {
    pub fn new(
        about: ConditionType,
        status: impl Into<ConditionStatus>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Finding {
        Finding { about, status: status.into(), reason, message: message.into() }
    }
}

/// The conditions to report: those of `findings`, in their order, each with the time of its last change of status.
/// What is not found any more is not reported; the same findings again give the same conditions.
pub fn conditions(
    before: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |finding: &Finding| {
        let (type_, status) = (finding.about.as_str(), finding.status.as_str());
        let same = before.iter().find(|old| old.type_ == type_ && old.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason.as_str().to_owned(),
            message: bounded(&finding.message).to_owned(),
            observed_generation: generation,
            last_transition_time: same.map_or(Time(now), |old| old.last_transition_time.clone()),
        }
    };
    findings.iter().map(condition).collect()
}

fn bounded(message: &str) -> &str {
    let mut end = message.len().min(MAX_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

impl crate::SshMaster {
    pub const CONDITIONS: &'static [ConditionType] = &[
        ConditionType::Ready,
        ConditionType::Available,
        ConditionType::Progressing,
        ConditionType::Degraded,
        ConditionType::StandbyInSync,
        ConditionType::PromotionReady,
        ConditionType::DirectoryReachable,
        ConditionType::LogWritable,
        ConditionType::Suspended,
    ];
}

impl crate::MirrorPool {
    pub const CONDITIONS: &'static [ConditionType] = &[
        ConditionType::Ready,
        ConditionType::Available,
        ConditionType::Progressing,
        ConditionType::Degraded,
        ConditionType::Replicating,
        ConditionType::AtFloor,
    ];
}

impl crate::HgRepository {
    pub const CONDITIONS: &'static [ConditionType] = &[
        ConditionType::Ready,
        ConditionType::Replicated,
        ConditionType::ReadOnly,
        ConditionType::Quarantined,
        ConditionType::Imported,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(is: bool, reason: Reason, message: &str) -> Finding {
        Finding::new(ConditionType::Ready, is, reason, message)
    }

    #[test]
    fn the_time_moves_with_the_status_only() {
        let first = conditions(&[], &[ready(false, Reason::NoMaster, "a")], Some(1), at(10));
        assert_eq!((first[0].status.as_str(), first[0].last_transition_time.0), ("False", at(10)));
        let other = conditions(&first, &[ready(false, Reason::InstancesNotReady, "b")], Some(2), at(20));
        assert_eq!((other[0].reason.as_str(), other[0].message.as_str()), ("InstancesNotReady", "b"));
        assert_eq!((other[0].observed_generation, other[0].last_transition_time.0), (Some(2), at(10)));
        let turned = conditions(&other, &[ready(true, Reason::AllReady, "c")], Some(2), at(30));
        assert_eq!((turned[0].status.as_str(), turned[0].last_transition_time.0), ("True", at(30)));
    }

    #[test]
    fn the_same_findings_change_nothing() {
        let findings = [
            ready(true, Reason::AllReady, ""),
            Finding::new(ConditionType::Suspended, false, Reason::NotSuspended, ""),
        ];
        let first = conditions(&[], &findings, Some(1), at(10));
        assert_eq!(conditions(&first, &findings, Some(1), at(99)), first);
        assert_eq!(conditions(&first, &findings[..1], Some(1), at(99)), first[..1]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = "ä".repeat(MAX_MESSAGE_BYTES);
        let cut = conditions(&[], &[ready(true, Reason::AllReady, &long)], None, at(0));
        assert_eq!(cut[0].message.len(), MAX_MESSAGE_BYTES);
        let odd = format!("a{long}");
        let cut = conditions(&[], &[ready(true, Reason::AllReady, &odd)], None, at(0));
        assert_eq!(cut[0].message.len(), MAX_MESSAGE_BYTES - 1);
    }
}
