//! Asking a running all-in-one over its status address (plain HTTP on loopback).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::all_in_one::READY_FILE;

const DEADLINE: Duration = Duration::from_secs(60);
const MAX_ANSWER_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("{0} does not tell of a running hgd all-in-one: start it, or name its --data-dir")]
    NotRunning(String),
    #[error("the hgd all-in-one of {directory} does not answer: {source}")]
    Io { directory: String, source: std::io::Error },
    #[error("{0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Ready {
    status: String,
}

/// One HTTP exchange; the body of a 200.
pub fn ask(data_dir: &Path, path: &str) -> Result<String, AskError> {
    let file = data_dir.join(READY_FILE);
    let not_running = || AskError::NotRunning(file.display().to_string());
    let text = std::fs::read(&file).map_err(|_| not_running())?;
    let ready: Ready = serde_json::from_slice(&text).map_err(|_| not_running())?;
    let address = ready.status.strip_prefix("http://").ok_or_else(not_running)?.trim_end_matches('/');
    let io = |source| AskError::Io { directory: data_dir.display().to_string(), source };
    let mut stream = TcpStream::connect(address).map_err(|_| not_running())?;
    stream.set_read_timeout(Some(DEADLINE)).map_err(io)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").map_err(io)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).map_err(io)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(AskError::Refused(body.trim().to_owned())),
    }
}
