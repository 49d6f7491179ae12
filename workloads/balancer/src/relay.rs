//! Carrying the bytes of one connection both ways.

use std::io::{Error, ErrorKind};

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// Taken only while there is something to carry, so that idle connections cost none.
const BUFFER_BYTES: usize = 256 * 1024;

/// Ends when both directions have ended, each on its own: a client that has said all may still listen.
pub(crate) async fn relay(client: &mut TcpStream, endpoint: &mut TcpStream) -> Result<(), Error> {
    let (from_client, to_client) = client.split();
    let (from_endpoint, to_endpoint) = endpoint.split();
    tokio::try_join!(carry(from_client, to_endpoint), carry(from_endpoint, to_client)).map(|_| ())
}

async fn carry(from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Error> {
    loop {
        from.readable().await?;
        let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            buffer.clear();
            match from.try_read_buf(&mut buffer) {
                Ok(0) => return to.shutdown().await,
                Ok(_) => to.write_all(&buffer).await?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}
