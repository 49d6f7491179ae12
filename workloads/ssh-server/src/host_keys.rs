//! The keys by which clients know the server. All instances of an installation use the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey};

/// Never printed: `Debug` shows the fingerprints.
#[derive(Clone)]
pub struct HostKeys(pub(crate) Vec<PrivateKey>);

#[derive(Debug, thiserror::Error)]
pub enum HostKeysError {
    #[error("the host key {path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the host key {path} is not an OpenSSH private key without a passphrase: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("a host key cannot be generated: {0}")]
    Generate(String),
}

impl HostKeysError {
    /// Answers whether another start fares no better until somebody has changed the file.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            HostKeysError::Io { source, .. } => crate::is_lasting(source),
            HostKeysError::Damaged { .. } => true,
            HostKeysError::Generate(_) => false,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Ed25519,
    /// NIST P-256, for clients of before 2014.
    Ecdsa,
}

/// As OpenSSH names the files. The last is for whoever still needs it: what signs with it may tell of the key by its
/// timing (RUSTSEC-2023-0071), so none is made.
pub const HOST_KEY_FILES: [&str; 3] = [ED25519, ECDSA, RSA];
const ED25519: &str = "ssh_host_ed25519_key";
const ECDSA: &str = "ssh_host_ecdsa_key";
const RSA: &str = "ssh_host_rsa_key";
const MADE: [(Kind, &str); 2] = [(Kind::Ed25519, ED25519), (Kind::Ecdsa, ECDSA)];

/// New keys for an installation, as [`load_or_generate`] reads them from files of these names.
pub fn generate_host_keys() -> Result<Vec<(&'static str, String)>, HostKeysError> {
    MADE.iter().map(|(kind, name)| Ok((*name, text(&generate(*kind)?)?))).collect()
}

/// Reads the keys of `directory`; makes the ones that are not there, but no RSA key. Blocks. Several processes may do
/// this at once: the first one's keys count. Where nothing can be made, as in a secret's volume, one key is enough.
pub fn load_or_generate(directory: &Path) -> Result<HostKeys, HostKeysError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| HostKeysError::Io { path, source }
    };
    if !directory.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    }
    for (kind, name) in MADE {
        let path = directory.join(name);
        if !path.try_exists().map_err(failed(&path))?
            && let Err(error) = place(&path, &generate(kind)?)
        {
            if is_read_only(&error) && any_exists(directory) {
                tracing::info!(%error, path = %path.display(), "there is no host key of this kind");
                continue;
            }
            return Err(failed(&path)(error));
        }
    }
    let mut keys = Vec::new();
    for path in HOST_KEY_FILES.map(|name| directory.join(name)) {
        if !path.try_exists().map_err(failed(&path))? {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
        let key = PrivateKey::from_openssh(&text)
            .map_err(|error| error.to_string())
            .and_then(|key| match key.is_encrypted() {
                true => Err("it has a passphrase".to_owned()),
                false => Ok(key),
            })
            .map_err(|reason| HostKeysError::Damaged { path, reason })?;
        keys.push(key);
    }
    Ok(HostKeys(keys))
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn any_exists(directory: &Path) -> bool {
    HOST_KEY_FILES.iter().any(|name| directory.join(name).exists())
}

/// Makes an ed25519 key for somebody who has none, at `path` (mode 0600); answers its public half, type and key.
/// One that is there already stays.
pub fn make_user_key(path: &Path) -> Result<String, HostKeysError> {
    let failed = |source| HostKeysError::Io { path: path.to_owned(), source };
    place(path, &generate(Kind::Ed25519)?).map_err(failed)?;
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let key = PrivateKey::from_openssh(&text).and_then(|key| key.public_key().to_openssh());
    key.map_err(|error| HostKeysError::Damaged { path: path.to_owned(), reason: error.to_string() })
}

/// `SHA256:...` of the public half of such a text, as `ssh-keygen -l` prints it; or why it cannot be used.
pub fn fingerprint(text: &str) -> Result<String, String> {
    let key = PrivateKey::from_openssh(text).map_err(|error| error.to_string())?;
    if key.is_encrypted() {
        return Err("it has a passphrase".to_owned());
    }
    Ok(key.fingerprint(HashAlg::Sha256).to_string())
}

fn generate(kind: Kind) -> Result<PrivateKey, HostKeysError> {
    let failed = |error: &dyn std::fmt::Display| HostKeysError::Generate(error.to_string());
    match kind {
        Kind::Ed25519 => {
            let pair = Ed25519Keypair::from_seed(&rand::random());
            PrivateKey::new(KeypairData::Ed25519(pair), "").map_err(|error| failed(&error))
        }
        Kind::Ecdsa => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|error| failed(&error))?;
            let der = pair.to_pkcs8v1().map_err(|error| failed(&error))?;
            russh::keys::pkcs8::decode_pkcs8(der.as_ref(), None).map_err(|error| failed(&error))
        }
    }
}

fn text(key: &PrivateKey) -> Result<String, HostKeysError> {
    let text = key.to_openssh(LineEnding::LF).map_err(|error| HostKeysError::Generate(error.to_string()))?;
    Ok(text.to_string())
}

/// Complete or not at all, and never over a key that is there.
fn place(path: &Path, key: &PrivateKey) -> io::Result<()> {
    let text = text(key).map_err(io::Error::other)?;
    let temporary = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&temporary, path));
    std::fs::remove_file(&temporary)?;
    match linked {
        Err(there) if there.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

impl HostKeys {
    /// `SHA256:...` of each, as `ssh-keygen -l` prints them.
    pub fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string()).collect()
    }

    /// Each public key as a line for `known_hosts`, without the host name in front.
    pub fn public_lines(&self) -> Vec<String> {
        self.0.iter().filter_map(|key| key.public_key().to_openssh().ok()).collect()
    }
}

impl std::fmt::Debug for HostKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.fingerprints()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_of_a_secret_are_read_through_its_links() {
        let directory = tempfile::tempdir().unwrap();
        let made = generate_host_keys().unwrap();
        assert_eq!(made.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [ED25519, ECDSA]);
        let volume = directory.path().join("..version");
        std::fs::create_dir(&volume).unwrap();
        for (name, text) in &made {
            std::fs::write(volume.join(name), text).unwrap();
            std::fs::set_permissions(volume.join(name), std::fs::Permissions::from_mode(0o440)).unwrap();
            std::os::unix::fs::symlink(format!("..version/{name}"), directory.path().join(name)).unwrap();
        }
        assert_eq!(load_or_generate(directory.path()).unwrap().0.len(), 2);
        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        assert!(is_read_only(&read_only) && any_exists(directory.path()));
        assert!(!any_exists(&volume.join("none")));
    }

    #[test]
    fn keys_are_made_once_and_for_the_owner_only() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("keys");
        let racing: Vec<_> = (0..4)
            .map(|_| {
                let directory = directory.clone();
                std::thread::spawn(move || load_or_generate(&directory).unwrap().fingerprints())
            })
            .collect();
        let first = load_or_generate(&directory).unwrap().fingerprints();
        for other in racing {
            assert_eq!(other.join().unwrap(), first);
        }
        let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 2, "{files:?}");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(directory.join(RSA), "nonsense").unwrap();
        assert!(matches!(load_or_generate(&directory), Err(HostKeysError::Damaged { .. })));
    }
}
