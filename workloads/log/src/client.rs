//! The one interface to a log, whichever engine holds it.

use protocol::{Generation, Offset, Record};

use crate::log::{Log, Positions};
use crate::refusal::AppendError;
use crate::subscription::{Level, Subscription};

/// Closed on purpose: a JetStream engine will be the second variant, and every use will have to say what it does then.
#[derive(Clone)]
pub enum Client {
    Embedded(Log),
}

impl Client {
    pub fn offsets(&self) -> Positions {
        match self {
            Client::Embedded(log) => log.positions(),
        }
    }

    /// See [`Log::append`].
    pub async fn append(&self, expected: Generation, record: &Record) -> Result<Offset, AppendError> {
        match self {
            Client::Embedded(log) => log.append(expected, record).await,
        }
    }

    /// Committed records from `from` on.
    pub fn subscribe(&self, from: Offset) -> Subscription {
        match self {
            Client::Embedded(log) => log.subscribe(from, Level::Committed),
        }
    }
}
