//! A child of the supervisor says that it runs, with a byte now and then on the pipe that it was given as its input: a
//! process that is frozen, or whose runtime hangs, does not end, and nobody else would see it.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{sleep, timeout};

const EVERY: Duration = Duration::from_millis(500);
/// Read at once: after a pause of the supervisor there are many.
const READ_BYTES: usize = 4096;

/// Where the supervisor hears one life of a child.
pub struct Pulse(Receiver);

/// The end for the child, and the one to listen on.
pub fn pipe() -> io::Result<(PipeWriter, Pulse)> {
    let (reader, writer): (PipeReader, PipeWriter) = io::pipe()?;
    // A supervisor that does not read must not stop its children.
    fcntl_setfl(&writer, OFlags::NONBLOCK)?;
    Ok((writer, Pulse(Receiver::from_owned_fd(OwnedFd::from(reader))?)))
}

impl Pulse {
    /// Returns when nothing was heard for so long.
    pub async fn stops(&mut self, patience: Duration) {
        let mut bytes = [0; READ_BYTES];
        loop {
            match timeout(patience, self.0.read(&mut bytes)).await {
                Ok(Ok(read)) if read > 0 => {}
                // It has ended, which others see.
                Ok(_) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}

/// Until this process ends. What is lost because nobody reads is not missed.
pub async fn beat() {
    let supervisor = io::stdin();
    while !matches!(rustix::io::write(&supervisor, b"."), Err(rustix::io::Errno::PIPE | rustix::io::Errno::BADF)) {
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_heard_and_an_end_is_not_silence() {
        let (writer, mut pulse) = pipe().unwrap();
        let patience = Duration::from_millis(200);
        rustix::io::write(&writer, b"..").unwrap();
        pulse.stops(patience).await;
        // More than fits: nobody waits.
        while rustix::io::write(&writer, &[b'.'; READ_BYTES]).is_ok() {}
        drop(writer);
        assert!(timeout(patience * 2, pulse.stops(patience)).await.is_err());
    }
}
