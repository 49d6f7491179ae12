//! One connection to the zygote, which is one child of it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::codec::{Encoder, Framed};

use crate::child::Child;
use crate::frame::{Frame, FrameCodec};

/// A fork takes about 10 ms; this long only when the machine is overloaded.
const CHILD_START_SECONDS: u64 = 30;
pub(crate) const DESCRIPTORS: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("Mercurial is not running: {0}")]
    NotRunning(String),
    #[error("the Mercurial process did not give us a child: {0}")]
    Connection(#[from] io::Error),
    #[error("the Mercurial process gave us no child within {CHILD_START_SECONDS} seconds")]
    Slow,
}

#[derive(Deserialize)]
struct Hello {
    pid: u32,
}

pub(crate) struct Connection {
    frames: Framed<UnixStream, FrameCodec>,
    child: Child,
}

impl Connection {
    /// `first` says what kind of child this is to be.
    pub(crate) async fn open(
        socket: &Path,
        first: &impl Serialize,
        descriptors: Option<[BorrowedFd<'_>; DESCRIPTORS]>,
    ) -> Result<Connection, ConnectError> {
        let first = Frame::new(first, Bytes::new())?;
        let opened = timeout(Duration::from_secs(CHILD_START_SECONDS), Self::begin(socket, first, descriptors));
        Ok(opened.await.map_err(|_| ConnectError::Slow)??)
    }

    async fn begin(
        socket: &Path,
        first: Frame,
        descriptors: Option<[BorrowedFd<'_>; DESCRIPTORS]>,
    ) -> io::Result<Connection> {
        let mut stream = UnixStream::connect(socket).await?;
        let mut bytes = BytesMut::new();
        FrameCodec::default().encode(first, &mut bytes)?;
        let sent = match descriptors {
            Some(descriptors) => send_descriptors(&stream, &bytes, descriptors).await?,
            None => 0,
        };
        stream.write_all(&bytes[sent..]).await?;
        let mut frames = Framed::new(stream, FrameCodec::default());
        let hello: Hello = next(&mut frames).await?.parse()?;
        Ok(Connection { frames, child: Child::hold(hello.pid)? })
    }

    pub(crate) async fn send(&mut self, frame: Frame) -> io::Result<()> {
        self.frames.send(frame).await
    }

    /// Safe to drop and call again: what was read so far stays in the buffer.
    pub(crate) async fn receive(&mut self) -> io::Result<Frame> {
        next(&mut self.frames).await
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// An idle worker says nothing; one that has died has left the end of the stream behind.
    pub(crate) fn is_quiet(&self) -> bool {
        // Asked of the kernel, not of the runtime, which may not have heard of the end yet.
        let mut byte = [0u8];
        let read = recv(self.frames.get_ref(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.frames.read_buffer().is_empty() && matches!(read, Err(rustix::io::Errno::AGAIN))
    }
}

async fn next(frames: &mut Framed<UnixStream, FrameCodec>) -> io::Result<Frame> {
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the process ended without an answer");
    frames.next().await.unwrap_or_else(|| Err(ended()))
}

/// The descriptors travel with the first byte; answers how many bytes went with them.
async fn send_descriptors(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: [BorrowedFd<'_>; DESCRIPTORS],
) -> io::Result<usize> {
    loop {
        stream.writable().await?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(io::Error::other("the descriptors do not fit into one message"));
            }
            Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
    }
}
