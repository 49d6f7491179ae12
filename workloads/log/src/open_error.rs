//! Why a log's directory cannot be opened, and what to do about it.

use std::path::PathBuf;

use protocol::{LogName, Offset};

use crate::scan::Damage;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} cannot be used as the log's directory: {why}")]
    Io { path: PathBuf, why: std::io::Error },
    #[error("{path} is in use by another process")]
    InUse { path: PathBuf },
    #[error("{path} has log format version {found}, newer than this program's {known}: use the version that wrote it")]
    NewerFormat { path: PathBuf, found: String, known: u16 },
    #[error("{path} is a segment of the {found:?} log and not of the {expected:?} log: it was moved there by mistake")]
    OtherLog { path: PathBuf, found: LogName, expected: LogName },
    #[error(
        "{path} is damaged {damage}; records from there on were on disk and must not be dropped silently: restore the \
         volume, or stop all instances and replace the log's directory by a copy of the one of another SSH instance"
    )]
    Damaged { path: PathBuf, damage: Damage },
    #[error(
        "{path} begins with record {found} where record {expected} belongs: a segment file before it is missing; \
         restore it, or stop all instances and replace the log's directory by a copy of another SSH instance's"
    )]
    Missing { path: PathBuf, expected: Offset, found: Offset },
}
