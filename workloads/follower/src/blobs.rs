//! Fetching a blob that a record names.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use log::blobs::{Blobs, Receiving};
use protocol::Digest;
use tokio::io::AsyncWrite;
use transport::{Client, ClientError, Target};

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Store(#[from] log::blobs::BlobError),
    #[error("the blob's task was dropped: {0}")]
    Dropped(#[from] tokio::task::JoinError),
}

/// Makes sure that the blob is here, on disk; does nothing when it is already.
pub async fn fetch(client: &Client, from: &Target, blobs: &Blobs, digest: Digest, size: u64) -> Result<(), BlobError> {
    if blobs.contains(digest, size) {
        return Ok(());
    }
    let mut writer = Writer(blobs.receive(digest, size)?);
    client.download(from, &format!("/v1/blobs/{digest}"), 0, &mut writer).await?;
    Ok(tokio::task::spawn_blocking(move || writer.0.finish()).await??)
}

/// Pieces are at most an HTTP/2 frame long and go to the page cache, so that writing them at once blocks nobody.
struct Writer(Receiving);

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
