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

/// Seal of one data directory; there is one per process.
#[derive(Debug)]
pub struct Seal {
    path: PathBuf,
    /// Sealed: what is refused.
    sealed: watch::Sender<Generation>,
    /// Certain: what will be refused whatever happens; less than `sealed` when that could not be synced.
    certain: watch::Sender<Generation>,
    /// One writes at a time.
    writing: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealFile {
    generation: Generation,
}

impl Seal {
    /// Generation 0, which refuses nobody, where nothing was ever sealed.
    pub fn open(data: &Path) -> Result<Seal, SealError> {
        let sealed = Seal::on_disk(data)?;
        Ok(Seal {
            path: data.join(FILE),
            sealed: watch::Sender::new(sealed),
            certain: watch::Sender::new(sealed),
            writing: Mutex::default(),
        })
    }

    /// Reads what a data directory is sealed with now, whoever sealed it. Opens the file anew each time, so that on
    /// NFS what another machine wrote is seen (close-to-open consistency, nfs(5)). Blocks.
    pub fn on_disk(data: &Path) -> Result<Generation, SealError> {
        let path = data.join(FILE);
        match std::fs::read(&path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Generation(0)),
            Err(source) => Err(SealError::Io { path, source }),
            Ok(text) => match serde_json::from_slice::<SealFile>(&text) {
                Ok(written) => Ok(written.generation),
                Err(error) => Err(SealError::Damaged { path, reason: error.to_string() }),
            },
        }
    }

    /// From its answer on, and for good, every generation below `generation` is refused. Never goes back. Answers what
    /// is sealed now.
    pub async fn raise(&self, generation: Generation) -> Result<Generation, SealError> {
        let _alone = self.writing.lock().await;
        let certain = self.certain();
        if certain >= generation {
            return Ok(certain);
        }
        let failed = |source| SealError::Io { path: self.path.clone(), source };
        let text = serde_json::to_vec(&SealFile { generation }).map_err(|error| failed(error.into()))?;
        let written = durable::replace(&self.path, &text);
        self.take(generation, written).map_err(failed)
    }

    /// Takes what was written: it may be on disk also when that is not certain, and is refused from here on.
    fn take(&self, generation: Generation, written: Result<(), Failed>) -> Result<Generation, io::Error> {
        if !matches!(written, Err(Failed::Before(_))) {
            self.sealed.send_replace(generation.max(self.generation()));
        }
        written?;
        self.certain.send_replace(generation);
        Ok(generation)
    }

    /// Answers what others may rely on.
    pub fn certain(&self) -> Generation {
        *self.certain.borrow()
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
    async fn a_seal_that_is_not_synced_refuses_and_proves_nothing_until_it_is() {
        let data = tempfile::tempdir().unwrap();
        let seal = Seal::open(data.path()).unwrap();
        let lost = || io::Error::other("an error of the disk");
        seal.take(Generation(7), Err(Failed::After(lost()))).unwrap_err();
        assert_eq!((seal.generation(), seal.certain()), (Generation(7), Generation(0)));
        seal.take(Generation(9), Err(Failed::Before(lost()))).unwrap_err();
        assert_eq!((seal.generation(), seal.certain()), (Generation(7), Generation(0)));
        // Asked again for what is refused already, it is written again.
        assert_eq!(seal.raise(Generation(7)).await.unwrap(), Generation(7));
        assert_eq!(seal.certain(), Generation(7));
        assert_eq!(Seal::on_disk(data.path()).unwrap(), Generation(7));
    }

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
