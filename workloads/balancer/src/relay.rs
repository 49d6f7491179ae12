//! Carrying the bytes of one connection both ways.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

/// Taken only while there is something to carry, so that idle connections cost none.
const BUFFER_BYTES: usize = 256 * 1024;

/// How long a client may go on after the endpoint has ended: it has the answer, and would hold a place for ever.
const FAREWELL: Duration = Duration::from_secs(1);

/// Ends with the endpoint. A client that has said all may still listen. Whatever the endpoint says is told to `heard`.
pub(crate) async fn relay(client: &mut TcpStream, endpoint: &mut TcpStream, heard: impl Fn()) -> Result<(), Error> {
    let (from_client, to_client) = client.split();
    let (from_endpoint, to_endpoint) = endpoint.split();
    let (asking, answering) = (carry(from_client, to_endpoint, || ()), carry(from_endpoint, to_client, heard));
    tokio::pin!(asking, answering);
    tokio::select! {
        asked = &mut asking => {
            asked?;
            answering.await
        }
        answered = &mut answering => {
            answered?;
            // An error is a client that says more to an endpoint that is gone.
            let _ = timeout(FAREWELL, asking).await;
            Ok(())
        }
    }
}

async fn carry(from: ReadHalf<'_>, mut to: WriteHalf<'_>, heard: impl Fn()) -> Result<(), Error> {
    loop {
        from.readable().await?;
        let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            buffer.clear();
            match from.try_read_buf(&mut buffer) {
                Ok(0) => return to.shutdown().await,
                Ok(_) => {
                    heard();
                    to.write_all(&buffer).await?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A connection's two ends.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_silent_client_holds_no_place_after_its_endpoint_has_ended() {
        let ((mut person, mut client), (mut endpoint, mut server)) = (pair().await, pair().await);
        let carried = tokio::spawn(async move { relay(&mut client, &mut endpoint, || ()).await });
        server.write_all(b"goodbye").await.unwrap();
        drop(server);
        let mut heard = String::new();
        person.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "goodbye");
        timeout(DEADLINE, carried).await.expect("it ends").unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_has_said_all_hears_the_answer() {
        let ((mut person, mut client), (mut endpoint, mut server)) = (pair().await, pair().await);
        let carried = tokio::spawn(async move { relay(&mut client, &mut endpoint, || ()).await });
        person.write_all(b"question").await.unwrap();
        person.shutdown().await.unwrap();
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.unwrap();
        server.write_all(asked.as_bytes()).await.unwrap();
        drop(server);
        let mut heard = String::new();
        person.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        timeout(DEADLINE, carried).await.expect("it ends").unwrap().unwrap();
    }
}
