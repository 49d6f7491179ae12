//! `hgd mirror`: a read-only HTTP instance.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::InstanceName;
use serde::{Deserialize, Serialize};

use crate::{Address, Tls, bounds, shared};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MirrorRole {
    pub name: InstanceName,
    pub data_directory: PathBuf,
    pub http_listen: SocketAddr,
    /// True: a balancer on this machine says in a first line whose a connection is (PROXY protocol), and is believed.
    /// Left out, whoever connects is the client.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind_balancer: bool,
    /// Where clients (or the balancer) reach `httpListen`; without `/` at its end.
    pub advertised_url: String,
    pub admin_listen: SocketAddr,
    /// Plain HTTP for probes and metrics, to whoever can reach it: `/healthz`, `/readyz`, `/metrics`. None when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_listen: Option<SocketAddr>,
    /// Where peers reach `adminListen`; that address itself when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_peer: Option<Address>,
    /// All SSH instances, by name: where their admin port is reached. The one that is master answers, and names the
    /// peers.
    pub masters: BTreeMap<InstanceName, Address>,
    /// The Python interpreter that can import Mercurial.
    pub python: PathBuf,
    /// An hgrc of the site, read before ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_hgrc: Option<PathBuf>,
    #[serde(default)]
    pub web: Web,
    /// How many repositories are worked on at once.
    #[serde(default = "shared::four_lanes", deserialize_with = "bounds::lanes")]
    pub lanes: u32,
    pub tls: Tls,
}

/// The processes that answer requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Web {
    /// For requests that take milliseconds.
    #[serde(deserialize_with = "bounds::workers")]
    pub light: u32,
    /// For clones, archives, annotations.
    #[serde(deserialize_with = "bounds::workers")]
    pub heavy: u32,
    /// Repositories that each of them keeps open.
    #[serde(deserialize_with = "bounds::cached")]
    pub cached: u32,
}

impl Default for Web {
    fn default() -> Web {
        Web { light: 2, heavy: 2, cached: 200 }
    }
}

impl MirrorRole {
    /// Where peers reach this mirror. None: it listens on every address, and is not told by which one they come.
    pub fn peer(&self) -> Option<Address> {
        let listens = (!self.admin_listen.ip().is_unspecified()).then(|| self.admin_listen.into());
        self.advertised_peer.clone().or(listens)
    }
}
