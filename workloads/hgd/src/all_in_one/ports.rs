//! Ports of the internal listeners: chosen free at the first start, kept over restarts so that URLs stay the same.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// New ports are taken from here: below the range from which Linux takes those of outgoing connections, which could
/// get a port between the moment it is chosen and the moment its child listens, and keep it.
const FIRST: u16 = 16_384;
const COUNT: u16 = 16_384;
/// Before any free port of the machine is taken instead.
const TRIES: u32 = 64;

#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("{address} is in use by another program ({source}): stop it, or choose another with --{option}")]
    InUse { address: SocketAddr, option: &'static str, source: io::Error },
    #[error("no free port can be had on loopback: {0}")]
    NoneFree(io::Error),
    #[error("{file} cannot be written: {source}")]
    Store { file: String, source: io::Error },
}

/// Ports by the name of what listens there.
pub struct Ports {
    file: PathBuf,
    kept: BTreeMap<String, u16>,
    /// Held until all are chosen, so that none is chosen twice.
    held: Vec<TcpListener>,
}

impl Ports {
    /// Loads what an earlier start chose, from `directory`; a damaged file is as good as none.
    pub fn load(directory: &Path) -> Ports {
        let file = directory.join("ports.json");
        let kept = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ports { file, kept: kept.unwrap_or_default(), held: Vec::new() }
    }

    /// Answers what was chosen for `name` by the one who runs, or ran last.
    pub fn known(directory: &Path, name: &str) -> Option<SocketAddr> {
        let port = *Ports::load(directory).kept.get(name)?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The port that `name` had before, if it is free; else another.
    pub fn choose(&mut self, name: &str) -> Result<SocketAddr, PortError> {
        let before = self.kept.get(name).and_then(|port| bind(*port).ok());
        let fresh = || (0..TRIES).find_map(|_| bind(FIRST + random() % COUNT).ok());
        let listener = before.or_else(fresh).map_or_else(|| bind(0), Ok);
        self.hold(name, listener.map_err(PortError::NoneFree)?)
    }

    /// An address that the person named; with port 0 like [`Ports::choose`], else it must be free.
    pub fn named(&mut self, name: &str, address: SocketAddr, option: &'static str) -> Result<SocketAddr, PortError> {
        if address.port() == 0 {
            return self.choose(name);
        }
        let in_use = |source| PortError::InUse { address, option, source };
        self.hold(name, TcpListener::bind(address).map_err(in_use)?)
    }

    fn hold(&mut self, name: &str, listener: TcpListener) -> Result<SocketAddr, PortError> {
        let address = listener.local_addr().map_err(PortError::NoneFree)?;
        self.kept.insert(name.to_owned(), address.port());
        self.held.push(listener);
        Ok(address)
    }

    /// Lets go of the ports, for the children to take.
    pub fn store(self) -> Result<(), PortError> {
        let file = self.file.display().to_string();
        let store = |source| PortError::Store { file: file.clone(), source };
        let text = serde_json::to_vec(&self.kept).map_err(|error| store(error.into()))?;
        std::fs::write(&self.file, text).map_err(store)
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// The standard library's hash keys are random; nothing here needs to be a secret.
fn random() -> u16 {
    u16::try_from(RandomState::new().hash_one(0) >> 48).unwrap_or_default()
}
