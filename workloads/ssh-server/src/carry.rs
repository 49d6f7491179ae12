//! Carries bytes between a channel and Mercurial, both ways at once and never more than a few packets ahead.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use russh::server::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::limits::READ_BYTES;
use crate::{Ended, Hg};

/// The code of standard error in SSH_MSG_CHANNEL_EXTENDED_DATA (RFC 4254, 5.2).
pub(crate) const STDERR: u32 = 1;

pub(crate) struct Carried {
    pub(crate) ended: Ended,
    /// The client left before everything was said.
    pub(crate) gone: bool,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

pub(crate) async fn carry(
    read: ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    hg: Hg,
    gone: &CancellationToken,
) -> Carried {
    let Hg { stdin, mut stdout, mut stderr, ended } = hg;
    let (bytes_in, bytes_out) = (AtomicU64::new(0), AtomicU64::new(0));
    let left = {
        let said = async {
            tokio::join!(out(&mut stdout, write, None, &bytes_out), out(&mut stderr, write, Some(STDERR), &bytes_out))
        };
        tokio::select! {
            _ = said => false,
            // A write that waits for the client's window does not notice that the client is gone.
            () = gone.cancelled() => true,
            () = feed(read, stdin, &bytes_in) => true,
        }
    };
    // Standard input was closed with `feed`. Without a reader of its output, a clone ends at its next write.
    drop(stdout);
    let mut nowhere = tokio::io::sink();
    let (ended, _) = tokio::join!(ended, tokio::io::copy(&mut stderr, &mut nowhere));
    Carried { ended, gone: left, bytes_in: bytes_in.into_inner(), bytes_out: bytes_out.into_inner() }
}

/// Until Mercurial has said everything, or the connection is over.
async fn out<R: AsyncRead + Unpin>(from: &mut R, to: &ChannelWriteHalf<Msg>, code: Option<u32>, count: &AtomicU64) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        // A broken pipe is the end as well: how Mercurial ended is known elsewhere.
        let Ok(read @ 1..) = from.read_buf(&mut buffer).await else { return };
        let bytes = buffer.split().freeze();
        let sent = match code {
            None => to.data_bytes(bytes).await,
            Some(code) => to.extended_data_bytes(code, bytes).await,
        };
        if sent.is_err() {
            return;
        }
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// Returns when the client has closed the channel. Mercurial's input is closed at the client's end of file, and what
/// arrives after Mercurial has closed it is thrown away.
async fn feed(mut from: ChannelReadHalf, to: Box<dyn AsyncWrite + Send + Unpin>, count: &AtomicU64) {
    let mut to = Some(to);
    loop {
        match from.wait().await {
            Some(ChannelMsg::Data { data }) => {
                count.fetch_add(data.len() as u64, Ordering::Relaxed);
                let Some(open) = to.as_mut() else { continue };
                let written = async {
                    open.write_all(&data).await?;
                    open.flush().await
                };
                if written.await.is_err() {
                    to = None;
                }
            }
            Some(ChannelMsg::Eof) => {
                if let Some(mut open) = to.take() {
                    // It is closed anyway when dropped.
                    let _ = open.shutdown().await;
                }
            }
            Some(ChannelMsg::Close) | None => return,
            Some(_) => {}
        }
    }
}
