//! CBOR messages behind their length (32 bits, big-endian) in the body of a request or a response.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use protocol::stream::MAX_MESSAGE_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Most that may wait for a slow reader, beside HTTP/2's own buffers. A single longer message passes alone.
pub const MAX_WAITING_BYTES: usize = 1024 * 1024;
pub const MAX_WAITING_MESSAGES: usize = 256;
const LENGTH_BYTES: usize = 4;
const GIVEN_UP: &str = "the connection was given up before the stream ended";

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("a message of {length} bytes is longer than the {MAX_MESSAGE_BYTES} allowed")]
    TooLong { length: usize },
    #[error("the stream ended within a message")]
    Truncated,
    #[error("a message cannot be decoded: {0}")]
    Decode(#[from] minicbor::decode::Error),
    #[error("a message cannot be encoded: {0}")]
    Encode(String),
    #[error("the other side is gone")]
    Closed,
    #[error("the stream broke: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

/// The two ends of a stream of messages: what is sent into the first comes out of the second's bytes. Dropping the
/// sender ends the body; dropping the body makes `send` fail.
pub fn channel<T>() -> (MessageSender<T>, MessageBody) {
    let (to, from) = mpsc::channel(MAX_WAITING_MESSAGES);
    let room = Arc::new(Semaphore::new(MAX_WAITING_BYTES));
    (MessageSender { to, room, of: PhantomData }, MessageBody { from })
}

pub struct MessageSender<T> {
    to: mpsc::Sender<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    of: PhantomData<fn(T)>,
}

impl<T> Clone for MessageSender<T> {
    fn clone(&self) -> Self {
        MessageSender { to: self.to.clone(), room: self.room.clone(), of: PhantomData }
    }
}

impl<T: minicbor::Encode<()>> MessageSender<T> {
    /// Waits while too much is waiting already.
    pub async fn send(&self, message: &T) -> Result<(), MessageError> {
        let bytes = encode(message)?;
        let weight = u32::try_from(bytes.len().min(MAX_WAITING_BYTES)).unwrap_or(u32::MAX);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(weight) => room.map_err(|_| MessageError::Closed)?,
            () = self.to.closed() => return Err(MessageError::Closed),
        };
        self.to.send((bytes, room)).await.map_err(|_| MessageError::Closed)
    }

    /// Ready when the other side is gone.
    pub async fn closed(&self) {
        self.to.closed().await;
    }
}

fn encode<T: minicbor::Encode<()>>(message: &T) -> Result<Bytes, MessageError> {
    let mut bytes = vec![0; LENGTH_BYTES];
    minicbor::encode(message, &mut bytes).map_err(|error| MessageError::Encode(error.to_string()))?;
    let length = bytes.len() - LENGTH_BYTES;
    if length > MAX_MESSAGE_BYTES {
        return Err(MessageError::TooLong { length });
    }
    let prefix = u32::try_from(length).map_err(|_| MessageError::TooLong { length })?;
    (&mut bytes[..LENGTH_BYTES]).put_u32(prefix);
    Ok(Bytes::from(bytes))
}

/// The body to put into a request (`Body::new(body)`) or a response.
pub struct MessageBody {
    from: mpsc::Receiver<(Bytes, OwnedSemaphorePermit)>,
}

impl Body for MessageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = std::task::ready!(self.from.poll_recv(context));
        Poll::Ready(next.map(|(bytes, _room)| Ok(Frame::data(bytes))))
    }
}

impl From<MessageBody> for axum::body::Body {
    fn from(body: MessageBody) -> Self {
        axum::body::Body::new(body)
    }
}

/// Reads the messages of a body, however its bytes are cut.
pub struct MessageReader<T, B> {
    body: B,
    waiting: BytesMut,
    of: PhantomData<fn() -> T>,
}

impl<T, B> MessageReader<T, B>
where
    T: for<'b> minicbor::Decode<'b, ()>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub fn new(body: B) -> Self {
        MessageReader { body, waiting: BytesMut::new(), of: PhantomData }
    }

    /// None: the other side ended the stream between two messages. Cancel-safe: a dropped call loses nothing.
    pub async fn next(&mut self) -> Result<Option<T>, MessageError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.waiting.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(MessageError::Broken(error.into())),
                // hyper hides a connection that was given up without an error (GOAWAY or RST_STREAM with NO_ERROR,
                // also after unanswered pings) as the body's end; only a real end sets the flag.
                None if !self.body.is_end_stream() => return Err(MessageError::Broken(GIVEN_UP.into())),
                None if self.waiting.is_empty() => return Ok(None),
                None => return Err(MessageError::Truncated),
            }
        }
    }

    fn take(&mut self) -> Result<Option<T>, MessageError> {
        let Some(prefix) = self.waiting.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MAX_MESSAGE_BYTES {
            return Err(MessageError::TooLong { length });
        }
        if self.waiting.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        let message = minicbor::decode(&self.waiting[LENGTH_BYTES..LENGTH_BYTES + length])?;
        self.waiting.advance(LENGTH_BYTES + length);
        if self.waiting.is_empty() {
            // The room of one large message is not kept for the life of the stream.
            self.waiting = BytesMut::new();
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::Full;
    use protocol::stream::{FromFollower, Progress};
    use protocol::{LogName, Offset};

    use super::*;

    fn messages() -> Vec<FromFollower> {
        let stored = |through| FromFollower::Stored { log: LogName::Replication, through: Offset(through) };
        vec![stored(1), FromFollower::Progress(Progress::default()), stored(u64::MAX), stored(3)]
    }

    struct Pieces {
        chunks: VecDeque<Vec<u8>>,
        given_up: bool,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.chunks.pop_front().map(|chunk| Ok(Frame::data(chunk.into()))))
        }

        fn is_end_stream(&self) -> bool {
            self.chunks.is_empty() && !self.given_up
        }
    }

    async fn read(chunks: Vec<Vec<u8>>) -> Result<Vec<FromFollower>, MessageError> {
        let mut reader = MessageReader::new(Pieces { chunks: chunks.into(), given_up: false });
        let mut read = Vec::new();
        while let Some(message) = reader.next().await? {
            read.push(message);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn messages_are_the_same_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = messages().iter().flat_map(|message| encode(message).unwrap().to_vec()).collect();
        for size in 1..=bytes.len() {
            let chunks = bytes.chunks(size).flat_map(|chunk| [Vec::new(), chunk.to_vec()]).collect();
            assert_eq!(read(chunks).await.unwrap(), messages(), "in pieces of {size}");
        }
        let ends: Vec<usize> = messages()
            .iter()
            .scan(0, |end, message| {
                *end += encode(message).unwrap().len();
                Some(*end)
            })
            .collect();
        for cut in 1..bytes.len() {
            let cut_within = matches!(read(vec![bytes[..cut].to_vec()]).await, Err(MessageError::Truncated));
            assert_eq!(cut_within, !ends.contains(&cut), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_connection_given_up_is_not_an_end() {
        let whole = encode(&7_u64).unwrap().to_vec();
        let mut reader = MessageReader::<u64, _>::new(Pieces { chunks: [whole].into(), given_up: true });
        assert_eq!(reader.next().await.unwrap(), Some(7));
        assert!(matches!(reader.next().await, Err(MessageError::Broken(_))));
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused_before_its_bytes_are_kept() {
        let length = u32::try_from(MAX_MESSAGE_BYTES + 1).unwrap();
        let mut reader = MessageReader::<u64, _>::new(Full::new(Bytes::from(length.to_be_bytes().to_vec())));
        assert!(matches!(reader.next().await, Err(MessageError::TooLong { .. })));
        let (sender, _body) = channel::<minicbor::bytes::ByteVec>();
        let long = vec![0; MAX_MESSAGE_BYTES].into();
        assert!(matches!(sender.send(&long).await, Err(MessageError::TooLong { .. })));
    }

    #[tokio::test]
    async fn garbage_is_an_error() {
        let mut reader = MessageReader::<u64, _>::new(Full::new(Bytes::from_static(b"\0\0\0\x01\xff")));
        assert!(matches!(reader.next().await, Err(MessageError::Decode(_))));
    }
}
