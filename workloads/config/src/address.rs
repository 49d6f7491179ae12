//! Where another process is reached.

use serde::{Deserialize, Serialize};

/// `host:port`; the host is a name or an address, an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an address: host:port is allowed")]
pub struct AddressError(String);

impl Address {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(host, _)| host)
    }

    pub fn port(&self) -> u16 {
        self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        let good = text.rsplit_once(':').is_some_and(|(host, port)| {
            let bare = !host.contains([':', '/', ' ', '@']) || host.starts_with('[') && host.ends_with(']');
            !host.is_empty() && bare && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if good { Ok(Address(text)) } else { Err(AddressError(text)) }
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.to_owned().try_into()
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(address: std::net::SocketAddr) -> Address {
        Address(address.to_string())
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.0
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for (text, host, port) in [("hg-0.hg:7000", "hg-0.hg", 7000), ("[::1]:22", "[::1]", 22)] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
        }
        for bad in ["", "a", "a:", ":1", "a:0", "a:65536", "http://a:1", "::1:22"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
