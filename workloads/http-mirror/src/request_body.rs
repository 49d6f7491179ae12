//! Request bodies: only the arguments of read commands, hence small; everything else is thrown away in a polite
//! manner.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use mercurial::Place;
use tokio::time::{Instant, timeout_at};

/// A body has the limits' wait, and a second more for each so many bytes that have come: a bound on the whole.
const BYTES_PER_SECOND: u32 = 16 * 1024;
/// A refused push is read and thrown away up to this size: hg does not read our answer before it has sent its bundle.
const MAX_DISCARDED_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the request body is longer than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the request body came too slowly: {} s, and one for each {BYTES_PER_SECOND} bytes of it", .0.as_secs())]
    Slow(Duration),
    #[error("the request body was cut")]
    Cut,
    #[error("too many request bodies are being sent: try again")]
    Full,
}

/// Reads a body. What is read is counted in `place`, where it stays for as long as the request is answered.
pub(crate) async fn read<B>(mut body: B, limit: usize, wait: Duration, place: &Place) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(ReadError::TooLarge { limit });
    }
    let (begun, given_up) = (Instant::now(), place.given_up());
    let mut whole = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = timeout_at(deadline(begun, wait, whole.len() as u64), body.frame()) => frame,
            () = given_up.cancelled() => return Err(ReadError::Full),
        };
        let Some(frame) = frame.map_err(|_| ReadError::Slow(wait))? else { return Ok(whole.freeze()) };
        let Ok(data) = frame.map_err(|_| ReadError::Cut)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(ReadError::TooLarge { limit });
        }
        if !place.grow(data.len() as u64) {
            return Err(ReadError::Full);
        }
        whole.extend_from_slice(&data);
    }
}

/// Reads to the end, to the limit or until it is too slow.
pub(crate) async fn discard<B>(mut body: B, wait: Duration)
where
    B: Body<Data = Bytes> + Unpin,
{
    let (begun, mut bytes) = (Instant::now(), 0);
    while let Ok(Some(Ok(frame))) = timeout_at(deadline(begun, wait, bytes), body.frame()).await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > MAX_DISCARDED_BYTES {
            return;
        }
    }
}

fn deadline(begun: Instant, wait: Duration, bytes: u64) -> Instant {
    begun + wait + Duration::from_secs(bytes) / BYTES_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use mercurial::{Room, RoomBounds};

    const WAIT: Duration = Duration::from_secs(30);

    fn room() -> Room {
        Room::new("request bodies", RoomBounds { client_bytes: 64 * 1024, all_bytes: 100 * 1024 })
    }

    /// So many pieces of so many bytes, with so much time before each.
    fn dripping(pieces: usize, bytes: usize, pause: Duration) -> impl Body<Data = Bytes> + Unpin {
        let frames = futures::stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![0; bytes])))
        });
        StreamBody::new(Box::pin(frames))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_has_a_bound_on_the_whole_and_a_steady_one_has_more_time() {
        let place = room().enter("a");
        let begun = Instant::now();
        let dripped = read(dripping(100, 4, Duration::from_secs(10)), 1024, WAIT, &place).await;
        assert!(matches!(dripped, Err(ReadError::Slow(_))) && begun.elapsed() < 2 * WAIT, "{dripped:?}");
        let steady = read(dripping(50, 1024, Duration::from_secs(1) / 16), 1 << 20, WAIT / 30, &place).await;
        assert_eq!(steady.unwrap().len(), 50 * 1024);
        let begun = Instant::now();
        discard(dripping(100, 4, Duration::from_secs(10)), WAIT).await;
        assert!(begun.elapsed() < 2 * WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_drip_take_no_room_from_others_and_the_oldest_makes_room() {
        let room = room();
        let (mut places, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            places.push(room.enter("a"));
        }
        for place in &places {
            slow.push(Box::pin(read(dripping(100, 4, Duration::from_secs(1)), 1024, WAIT, place)));
        }
        let slow = futures::future::join_all(slow);
        let mine = room.enter("b");
        let quick = read(dripping(60, 1024, Duration::from_millis(1)), 1 << 20, WAIT, &mine);
        tokio::select! {
            _ = slow => panic!("the slow ones end later"),
            whole = quick => assert_eq!(whole.unwrap().len(), 60 * 1024),
        }
        // The same client's next body: the one before is the oldest, and goes.
        let next = room.enter("b");
        assert!(read(dripping(60, 1024, Duration::from_millis(1)), 1 << 20, WAIT, &next).await.is_ok());
        assert!(mine.given_up().is_cancelled());
    }
}
