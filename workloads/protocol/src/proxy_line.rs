//! The first line of a connection that a balancer relays: whose it is. PROXY protocol, version 1
//! (<https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>, 2.1).

use std::net::{IpAddr, SocketAddr};

/// With its end.
pub const MAX_BYTES: usize = 107;
/// No request and no greeting of SSH begins with it.
pub const PREFIX: &str = "PROXY ";

/// Ends of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub client: SocketAddr,
    /// Where the client has connected to.
    pub server: SocketAddr,
}

pub fn line(Ends { client, server }: Ends) -> String {
    let (from, to) = (client.ip().to_canonical(), server.ip().to_canonical());
    let family = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("{PREFIX}{family} {from} {to} {} {}\r\n", client.port(), server.port())
}

/// Ends of a connection that a line says, which may have its end. None: it says nothing.
pub fn ends(line: &str) -> Option<Ends> {
    let mut words = line.trim_end().strip_prefix(PREFIX)?.split(' ');
    let is_6 = match words.next()? {
        "TCP4" => false,
        "TCP6" => true,
        _ => return None,
    };
    let [from, to]: [IpAddr; 2] = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
    let client = SocketAddr::new(from, words.next()?.parse().ok()?);
    let server = SocketAddr::new(to, words.next()?.parse().ok()?);
    ([from, to].iter().all(|address| address.is_ipv6() == is_6)).then_some(Ends { client, server })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_survive_the_way() {
        let pair =
            |client: &str, server: &str| Ends { client: client.parse().unwrap(), server: server.parse().unwrap() };
        for (client, server, expected) in [
            ("10.1.2.3:4", "10.0.0.1:80", Some(pair("10.1.2.3:4", "10.0.0.1:80"))),
            ("[::ffff:10.1.2.3]:4", "[::ffff:10.0.0.1]:80", Some(pair("10.1.2.3:4", "10.0.0.1:80"))),
            ("[2001:db8::1]:4", "[::1]:80", Some(pair("[2001:db8::1]:4", "[::1]:80"))),
            ("[2001:db8::1]:4", "10.0.0.1:80", None),
        ] {
            let line = line(pair(client, server));
            assert!(line.len() <= MAX_BYTES && line.ends_with("\r\n"), "{line}");
            assert_eq!(ends(&line), expected, "{line}");
        }
        for bad in ["", "PROXY", "PROXY TCP4 1.2.3.4", "PROXY TCP4 ::1 ::1 1 2", "PROXY TCP4 1.2.3.4 1.2.3.4 x 2"] {
            assert_eq!(ends(bad), None, "{bad}");
        }
    }
}
