//! Request bodies: only the arguments of read commands, hence small; everything else is thrown away in a polite
//! manner.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Bodies up to this size need no place among the large ones.
const SMALL_BYTES: u64 = 64 * 1024;
/// So many large bodies are in memory at once, on the whole front.
pub(crate) const LARGE_BODIES: usize = 8;
/// A refused push is read and thrown away up to this size: hg does not read our answer before it has sent its bundle.
const MAX_DISCARDED_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the request body is longer than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the request body was not sent within {} seconds", .0.as_secs())]
    Slow(Duration),
    #[error("the request body was cut")]
    Cut,
}

pub(crate) async fn read<B>(mut body: B, limit: usize, idle: Duration, large: &Semaphore) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let hint = body.size_hint();
    if hint.lower() > limit as u64 {
        return Err(ReadError::TooLarge { limit });
    }
    let _place = match hint.upper() {
        Some(bytes) if bytes <= SMALL_BYTES => None,
        _ => Some(timeout(idle, large.acquire()).await.map_err(|_| ReadError::Slow(idle))?),
    };
    let mut whole = BytesMut::new();
    while let Some(frame) = timeout(idle, body.frame()).await.map_err(|_| ReadError::Slow(idle))? {
        let Ok(data) = frame.map_err(|_| ReadError::Cut)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(ReadError::TooLarge { limit });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads to the end, to the limit or to the first silence.
pub(crate) async fn discard<B>(mut body: B, idle: Duration)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = 0;
    while let Ok(Some(Ok(frame))) = timeout(idle, body.frame()).await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > MAX_DISCARDED_BYTES {
            return;
        }
    }
}
