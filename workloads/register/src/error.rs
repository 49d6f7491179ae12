//! Why the register could not be read or written. A place is the file's path, or `Lease namespace/name`.

use std::io;
use std::path::PathBuf;

use protocol::{Generation, InstanceName};

use crate::Version;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the register {path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the register {place} is damaged ({reason}): only a person may say who is master now")]
    Damaged { place: String, reason: String },
    #[error("the Kubernetes API server cannot be asked: {0}")]
    Client(String),
    #[error("the register {place} cannot be read: {source}")]
    Api { place: String, source: Box<kube::Error> },
    #[error("the register {place} cannot be read: the API server did not answer within {seconds} s")]
    Silence { place: String, seconds: u64 },
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was written: somebody else has written since `expected` was read.
    #[error("the register has changed: version {expected:?} was expected, it holds {current:?}")]
    Conflict { expected: Version, current: Option<Version> },
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing was written.
    #[error("the register {path} cannot be written: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Nothing was written.
    #[error("the register {0} is not there: the operator makes it")]
    Missing(String),
    /// Nothing was written.
    #[error("the register {place} cannot be written: {source}")]
    Refused { place: String, source: Box<kube::Error> },
    /// Unknown: it may hold the new state. Until a later write succeeds, commits need every set that it may hold.
    #[error("whether the register {place} was written, and stays so, is not known: {reason}")]
    Unknown { place: String, reason: String },
}

#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error("the register names {master} as master of generation {generation}; only it may open the log")]
    HeldBy { master: InstanceName, generation: Generation },
    #[error(
        "the register means another disk of {master} than this one: it holds what was acknowledged; this instance \
         can only follow"
    )]
    OtherDisk { master: InstanceName },
    #[error("the register names no master since generation {0}: a promotion is under way")]
    Frozen(Generation),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ReadError {
    /// True: asking again later may help, without anybody mending the register itself.
    pub fn is_passing(&self) -> bool {
        matches!(self, ReadError::Client(_) | ReadError::Api { .. } | ReadError::Silence { .. })
    }
}

impl TakeError {
    /// True: to take a generation again later may help; it is then a later one, whatever became of this attempt.
    pub fn is_passing(&self) -> bool {
        match self {
            TakeError::HeldBy { .. } | TakeError::Frozen(_) | TakeError::OtherDisk { .. } => false,
            TakeError::Write(error) => match error {
                WriteError::Read(error) => error.is_passing(),
                WriteError::Conflict { .. } | WriteError::Missing(_) | WriteError::Refused { .. } => true,
                WriteError::Unknown { .. } => true,
                WriteError::Io { .. } => false,
            },
        }
    }
}
