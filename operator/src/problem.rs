//! Problem: what is in the way, for the one who can change it.

use std::time::Duration;

use crds::conditions::Reason;

use crate::queue::decide::Outcome;

/// Class of those who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Nobody: it is tried again.
    Retry,
    /// Nobody: what is known here is older than what the API server has. Nothing is told of it but a log line.
    Behind,
    /// Whoever wrote the resource, or what it names.
    User,
    /// Whoever runs the cluster: nothing that we do or the resource says can mend it.
    Human,
}

/// One sentence, the same in the condition and in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Problem {
    pub class: Class,
    pub reason: Reason,
    pub sentence: String,
}

/// Time until what somebody must mend is looked at again without a sign: not all of it can be watched.
const USER_AGAIN: Duration = Duration::from_secs(15);

/// Time until what has gone unheard is looked at again: what is heard of late wakes whom it concerns.
const BEHIND_AGAIN: Duration = Duration::from_secs(5);

impl Problem {
    pub fn user(reason: Reason, sentence: impl Into<String>) -> Problem {
        Problem { class: Class::User, reason, sentence: sentence.into() }
    }

    pub fn retry(reason: Reason, sentence: impl Into<String>) -> Problem {
        Problem { class: Class::Retry, reason, sentence: sentence.into() }
    }

    pub fn behind(sentence: impl Into<String>) -> Problem {
        Problem { class: Class::Behind, reason: Reason::ApiFailed, sentence: sentence.into() }
    }

    pub fn human(reason: Reason, sentence: impl Into<String>) -> Problem {
        Problem { class: Class::Human, reason, sentence: sentence.into() }
    }

    /// None: later each time.
    fn again(&self) -> Option<Duration> {
        match self.class {
            Class::Retry => None,
            Class::Behind => Some(BEHIND_AGAIN),
            Class::User | Class::Human => Some(USER_AGAIN),
        }
    }

    pub fn outcome(&self) -> Outcome {
        self.again().map_or(Outcome::Failed, Outcome::Again)
    }

    pub fn log(&self, about: &dyn std::fmt::Display) {
        let (reason, sentence) = (self.reason.as_str(), &self.sentence);
        match self.class {
            Class::Behind => tracing::info!(%about, "{sentence}"),
            Class::Retry | Class::User => tracing::warn!(%about, reason, "{sentence}"),
            Class::Human => tracing::error!(%about, reason, "{sentence}"),
        }
    }
}
