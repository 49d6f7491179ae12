//! Asking a running all-in-one: HTTP on the socket in its data directory, which its owner only can open.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::all_in_one::socket;

const DEADLINE: Duration = Duration::from_secs(60);
const MAX_ANSWER_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no hgd all-in-one runs with the data directory {0}: start it, or name another with --data-dir")]
    NotRunning(String),
    #[error("{0} is another user's data directory: ask as its owner, who runs hgd all-in-one, or as root")]
    NotOurs(String),
    #[error("the hgd all-in-one of {directory} does not answer: {source}")]
    Io { directory: String, source: io::Error },
    #[error("{0}")]
    Refused(String),
}

/// One HTTP exchange; the body of a 200.
pub fn ask(data_dir: &Path, path: &str) -> Result<String, AskError> {
    let directory = data_dir.display().to_string();
    let mut stream = match UnixStream::connect(socket(data_dir)) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(AskError::NotOurs(directory)),
        Err(_) => return Err(AskError::NotRunning(directory)),
    };
    let io = |source| AskError::Io { directory: directory.clone(), source };
    stream.set_read_timeout(Some(DEADLINE)).map_err(io)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(io)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).map_err(io)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(AskError::Refused(body.trim().to_owned())),
    }
}
