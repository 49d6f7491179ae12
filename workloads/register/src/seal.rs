//! The seal: an instance's durable refusal of every generation older than the one named. It outlives restarts, because
//! a commit of an old master must not find a standby that has forgotten it.

use std::io;
use std::path::{Path, PathBuf};

use protocol::Generation;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use crate::durable::{self, Failed};

const FILE: &str = "seal.json";

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the seal {path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the seal {path} is damaged ({reason}): move the whole data directory away, and it begins anew")]
    Damaged { path: PathBuf, reason: String },
}

/// Of one data directory; there is one per process.
#[derive(Debug)]
pub struct Seal {
    path: PathBuf,
    sealed: watch::Sender<Generation>,
    /// One writes at a time.
    writing: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    generation: Generation,
}

impl Seal {
    /// Generation 0, which refuses nobody, where nothing was ever sealed.
    pub fn open(data: &Path) -> Result<Seal, SealError> {
        let sealed = Seal::on_disk(data)?;
        Ok(Seal { path: data.join(FILE), sealed: watch::Sender::new(sealed), writing: Mutex::default() })
    }

    /// What a data directory is sealed with now, whoever sealed it. Opens the file anew each time, so that on NFS what
    /// another machine wrote is seen (close-to-open consistency, nfs(5)). Blocks.
    pub fn on_disk(data: &Path) -> Result<Generation, SealError> {
        let path = data.join(FILE);
        match std::fs::read(&path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Generation(0)),
            Err(source) => Err(SealError::Io { path, source }),
            Ok(text) => match serde_json::from_slice::<Written>(&text) {
                Ok(written) => Ok(written.generation),
                Err(error) => Err(SealError::Damaged { path, reason: error.to_string() }),
            },
        }
    }

    /// From its answer on, and for good, every generation below `generation` is refused. Never goes back. Answers what
    /// is sealed now.
    pub async fn raise(&self, generation: Generation) -> Result<Generation, SealError> {
        let _alone = self.writing.lock().await;
        let sealed = *self.sealed.borrow();
        if sealed >= generation {
            return Ok(sealed);
        }
        let failed = |source| SealError::Io { path: self.path.clone(), source };
        let text = serde_json::to_vec(&Written { generation }).map_err(|error| failed(error.into()))?;
        match durable::replace(&self.path, &text) {
            Ok(()) => {
                self.sealed.send_replace(generation);
                Ok(generation)
            }
            Err(Failed::Before(source)) => Err(failed(source)),
            Err(Failed::After(source)) => {
                // It may be on disk: refused from here on, but nobody is told that it is certain.
                self.sealed.send_replace(generation);
                Err(failed(source))
            }
        }
    }

    pub fn generation(&self) -> Generation {
        *self.sealed.borrow()
    }

    /// Until this generation is refused.
    pub async fn refuses(&self, generation: Generation) {
        let mut sealed = self.sealed.subscribe();
        // The sender is here as long as this is.
        let _sealed = sealed.wait_for(|sealed| *sealed > generation).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_seal_outlives_a_restart_and_never_goes_back() {
        let data = tempfile::tempdir().unwrap();
        let seal = Seal::open(data.path()).unwrap();
        assert_eq!(seal.generation(), Generation(0));
        assert_eq!(seal.raise(Generation(7)).await.unwrap(), Generation(7));
        assert_eq!(seal.raise(Generation(3)).await.unwrap(), Generation(7));
        drop(seal);
        let seal = Seal::open(data.path()).unwrap();
        assert_eq!(seal.generation(), Generation(7));
        seal.refuses(Generation(6)).await;
        let open = tokio::time::timeout(std::time::Duration::from_millis(10), seal.refuses(Generation(7))).await;
        assert!(open.is_err());
        std::fs::write(data.path().join(FILE), "{").unwrap();
        assert!(matches!(Seal::open(data.path()), Err(SealError::Damaged { .. })));
    }
}
