//! Proxied connections, and who their client is. The balancer of all-in-one, on this machine, says it in a first line.

use std::io;
use std::net::SocketAddr;

use protocol::proxy_line::{self, Ends};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A line is believed of this machine only. Whoever sends none is the client: peers and people connect directly too.
/// Waits until `from` says anything.
pub async fn ends(stream: &mut TcpStream, from: SocketAddr) -> io::Result<Ends> {
    let direct = Ends { client: from, server: stream.local_addr()? };
    if !from.ip().to_canonical().is_loopback() {
        return Ok(direct);
    }
    // In one piece: the balancer sends it at once, on a connection to this machine.
    let mut begin = [0; proxy_line::MAX_BYTES];
    let length = stream.peek(&mut begin).await?;
    let begin = begin.get(..length).unwrap_or_default();
    let end =
        begin.iter().position(|byte| *byte == b'\n').filter(|_| begin.starts_with(proxy_line::PREFIX.as_bytes()));
    let Some(end) = end else { return Ok(direct) };
    let mut line = vec![0; end + 1];
    stream.read_exact(&mut line).await?;
    let said = std::str::from_utf8(&line).ok().and_then(proxy_line::ends);
    Ok(said.unwrap_or(direct))
}
