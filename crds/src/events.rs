//! Events: the operator tells in them what it did. The reasons are closed, as those of conditions.

macro_rules! reasons {
    ($($name:ident: $type:ident, $meaning:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventReason {
            $(#[doc = $meaning] $name,)*
        }

        impl EventReason {
            pub const ALL: &'static [EventReason] = &[$(EventReason::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(EventReason::$name => stringify!($name),)*
                }
            }

            pub fn kind(self) -> EventKind {
                match self {
                    $(EventReason::$name => EventKind::$type,)*
                }
            }

            pub fn meaning(self) -> &'static str {
                match self {
                    $(EventReason::$name => $meaning,)*
                }
            }
        }
    };
}

/// As Kubernetes calls it the type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Normal,
    /// Somebody may have to act.
    Warning,
}

reasons! {
    Created: Normal, "An object was made.",
    Updated: Normal, "An object was changed.",
    Removed: Normal, "An object that is not asked for any more was removed.",
    Restarting: Normal, "A pod is deleted so that it starts again as it should be.",
    MasterChanged: Normal, "Another instance is master.",
    PromotionBegun: Warning, "The register is frozen: another instance is to be master.",
    Promoted: Normal, "An instance is named master, and it is proven that no other can write.",
    PromotionWithdrawn: Warning, "Nobody could be promoted: the old master is named again.",
    RegisterMade: Warning, "The register was missing, and was made again from what the instances hold.",
    PromotionBlocked: Warning, "A promotion is due or asked for, and cannot be made now.",
    MirrorJoined: Normal, "Readers are sent to a mirror.",
    MirrorLeft: Normal, "Readers are not sent to a mirror any more.",
    RepositoryDeleted: Normal, "The repository was deleted on the master.",
    Failed: Warning, "Something is in the way; the Ready condition says the same.",
}
