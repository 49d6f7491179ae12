//! The first line of a connection that a balancer relays: whose it is. PROXY protocol, version 1
//! (<https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>, 2.1).

use std::net::{IpAddr, SocketAddr};

/// With its end.
pub const MAX_BYTES: usize = 107;
/// No request and no greeting of SSH begins with it.
pub const PREFIX: &str = "PROXY ";

/// `client` is who connected to the balancer at `here`.
pub fn line(client: SocketAddr, here: SocketAddr) -> String {
    let (from, to) = (client.ip().to_canonical(), here.ip().to_canonical());
    let family = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("{PREFIX}{family} {from} {to} {} {}\r\n", client.port(), here.port())
}

/// The client of a line, which may have its end. None: it says none.
pub fn client(line: &str) -> Option<SocketAddr> {
    let mut words = line.trim_end().strip_prefix(PREFIX)?.split(' ');
    let is_6 = match words.next()? {
        "TCP4" => false,
        "TCP6" => true,
        _ => return None,
    };
    let from: IpAddr = words.next()?.parse().ok()?;
    let (_to, port) = (words.next()?, words.next()?.parse().ok()?);
    (from.is_ipv6() == is_6).then(|| SocketAddr::new(from, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_survives_the_way() {
        for (client, here, expected) in [
            ("10.1.2.3:4", "10.0.0.1:80", Some("10.1.2.3:4")),
            ("[::ffff:10.1.2.3]:4", "10.0.0.1:80", Some("10.1.2.3:4")),
            ("[2001:db8::1]:4", "[::1]:80", Some("[2001:db8::1]:4")),
            ("[2001:db8::1]:4", "10.0.0.1:80", None),
        ] {
            let line = line(client.parse().unwrap(), here.parse().unwrap());
            assert!(line.len() <= MAX_BYTES && line.ends_with("\r\n"), "{line}");
            assert_eq!(super::client(&line), expected.map(|text| text.parse().unwrap()), "{line}");
        }
        for bad in ["", "PROXY", "PROXY TCP4 1.2.3.4", "PROXY TCP4 ::1 ::1 1 2", "PROXY TCP4 1.2.3.4 1.2.3.4 x 2"] {
            assert_eq!(super::client(bad), None, "{bad}");
        }
    }
}
