//! Identity that one process shows, and what it trusts: the authority, its own certificate and its key, in one folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::InstanceName;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;

use crate::Certified;

/// Files are looked at again at the first handshake after this time.
const REREAD_AFTER: Duration = Duration::from_secs(30);
const ALPN_HTTP2: &[u8] = b"h2";

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {}: {source}; it comes from the installation's authority", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} holds no usable PEM: {source}", path.display())]
    Pem { path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("the certificates in {} do not work: {source}", directory.display())]
    Tls { directory: PathBuf, source: rustls::Error },
    #[error("ca.pem in {} is not an authority to verify clients with: {source}", directory.display())]
    Verifier { directory: PathBuf, source: rustls::server::VerifierBuilderError },
}

/// A shared handle; clones are the same identity. Changed files are taken up for new connections while the process
/// runs (Kubernetes replaces them under it); files that do not work are logged and what is in use stays.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    /// None: given in memory, hence never read again.
    places: Option<Places>,
    current: Mutex<Current>,
}

struct Current {
    files: Files,
    checked: Instant,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

struct Places {
    directory: PathBuf,
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(PartialEq, Eq)]
struct Files {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Identity {
    /// Opens `ca.pem`, `cert.pem` and `key.pem`.
    pub fn open(directory: &Path) -> Result<Identity, IdentityError> {
        Identity::at(Places::new(directory, ""))
    }

    /// Opens `ca.pem`, `<name>-cert.pem` and `<name>-key.pem`: several instances' files can be in one folder.
    pub fn open_named(directory: &Path, name: &InstanceName) -> Result<Identity, IdentityError> {
        Identity::at(Places::new(directory, &format!("{name}-")))
    }

    fn at(places: Places) -> Result<Identity, IdentityError> {
        let files = places.read()?;
        let (server, client) = files.configure(&places)?;
        let current = Mutex::new(Current { files, checked: Instant::now(), server, client });
        Ok(Identity { inner: Arc::new(Inner { places: Some(places), current }) })
    }

    /// Takes what an authority has just made, for whoever has no folder for it. `authority` is its certificate.
    pub fn from_pem(authority: &str, certified: &Certified) -> Result<Identity, IdentityError> {
        let files = Files {
            authority: authority.as_bytes().to_vec(),
            certificate: certified.certificate.as_bytes().to_vec(),
            key: certified.key.as_bytes().to_vec(),
        };
        let (server, client) = files.configure(&Places::new(Path::new("memory"), ""))?;
        let current = Mutex::new(Current { files, checked: Instant::now(), server, client });
        Ok(Identity { inner: Arc::new(Inner { places: None, current }) })
    }

    /// Looks at the files now; says whether they changed and are in use.
    pub fn reread(&self) -> Result<bool, IdentityError> {
        self.inner.reread(&mut self.inner.lock())
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.inner.fresh().server.clone()
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.inner.fresh().client.clone()
    }
}

impl Inner {
    /// Nothing panics while it is held, and what it guards is replaced whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads three small files at most every 30 s, at a handshake, hence without a task of its own.
    fn fresh(&self) -> std::sync::MutexGuard<'_, Current> {
        let mut current = self.lock();
        if current.checked.elapsed() >= REREAD_AFTER
            && let Err(error) = self.reread(&mut current)
        {
            tracing::warn!(%error, "keeping the certificates in use");
        }
        current
    }

    fn reread(&self, current: &mut Current) -> Result<bool, IdentityError> {
        current.checked = Instant::now();
        let Some(places) = &self.places else { return Ok(false) };
        let files = places.read()?;
        if files == current.files {
            return Ok(false);
        }
        let (server, client) = files.configure(places)?;
        *current = Current { files, checked: current.checked, server, client };
        tracing::info!(directory = %places.directory.display(), "certificates replaced");
        Ok(true)
    }
}

impl Places {
    fn new(directory: &Path, prefix: &str) -> Places {
        Places {
            directory: directory.to_owned(),
            authority: directory.join("ca.pem"),
            certificate: directory.join(format!("{prefix}cert.pem")),
            key: directory.join(format!("{prefix}key.pem")),
        }
    }

    fn read(&self) -> Result<Files, IdentityError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source });
        Ok(Files { authority: read(&self.authority)?, certificate: read(&self.certificate)?, key: read(&self.key)? })
    }
}

impl Files {
    fn configure(&self, places: &Places) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), IdentityError> {
        let pem = |path: &Path| {
            let path = path.to_owned();
            move |source| IdentityError::Pem { path, source }
        };
        let directory = &places.directory;
        let tls = |source| IdentityError::Tls { directory: directory.clone(), source };
        let certificates = |bytes: &[u8], path: &Path| {
            CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().map_err(pem(path))
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.authority, &places.authority)? {
            roots.add(root).map_err(tls)?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&self.certificate, &places.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(pem(&places.key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|source| IdentityError::Verifier { directory: directory.clone(), source })?;
        let server = server(provider.clone(), verifier, chain.clone(), key.clone_key()).map_err(tls)?;
        let client = client(provider, roots, chain, key).map_err(tls)?;
        Ok((Arc::new(server), Arc::new(client)))
    }
}

fn server(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    // A resumed session would carry the name of a certificate that may be replaced or expired by now.
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    /// A secret's volume holds the files of all instances, behind a link that the kubelet moves when they change.
    #[test]
    fn files_of_several_instances_are_read_from_one_folder_through_a_moving_link() {
        let directory = tempfile::tempdir().unwrap();
        let now = std::time::SystemTime::now();
        let made = Authority::make(now).unwrap();
        let authority = Authority::from_pem(made.certificate, &made.key).unwrap();
        let folder = directory.path();
        let fill = |version: &str| {
            std::fs::create_dir(folder.join(version)).unwrap();
            for name in ["ssh-0", "ssh-1"] {
                let certified = authority.certify(&name.parse().unwrap(), &[], now).unwrap();
                std::fs::write(folder.join(format!("{version}/{name}-cert.pem")), certified.certificate).unwrap();
                std::fs::write(folder.join(format!("{version}/{name}-key.pem")), certified.key).unwrap();
            }
            std::fs::write(folder.join(version).join("ca.pem"), authority.certificate()).unwrap();
            std::os::unix::fs::symlink(version, folder.join("..data_tmp")).unwrap();
            std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        };
        fill("..1");
        for file in ["ca.pem", "ssh-0-cert.pem", "ssh-0-key.pem", "ssh-1-cert.pem", "ssh-1-key.pem"] {
            std::os::unix::fs::symlink(format!("..data/{file}"), folder.join(file)).unwrap();
        }
        let [first, second] = ["ssh-0", "ssh-1"].map(|name| Identity::open_named(folder, &name.parse().unwrap()));
        let (first, _) = (first.unwrap(), second.unwrap());
        assert!(!first.reread().unwrap());
        fill("..2");
        assert!(first.reread().unwrap());
        let missing = Identity::open_named(folder, &"ssh-2".parse().unwrap()).err().unwrap().to_string();
        assert!(missing.contains("ssh-2-cert.pem"), "{missing}");
        assert!(matches!(Identity::open(folder), Err(IdentityError::Read { .. })));
    }

    #[test]
    fn changed_files_are_taken_up_and_broken_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(&directory.path().join("ca")).unwrap();
        let own = directory.path().join("own");
        let name = "ssh-0".parse().unwrap();
        authority.issue(&name, &[], &own).unwrap();
        let identity = Identity::open(&own).unwrap();
        let before = identity.server();
        assert!(!identity.reread().unwrap());
        assert!(Arc::ptr_eq(&before, &identity.server()));

        authority.issue(&name, &["127.0.0.1".to_owned()], &own).unwrap();
        assert!(identity.reread().unwrap());
        let replaced = identity.server();
        assert!(!Arc::ptr_eq(&before, &replaced));

        let other = directory.path().join("other");
        authority.issue(&name, &[], &other).unwrap();
        std::fs::copy(other.join("key.pem"), own.join("key.pem")).unwrap();
        assert!(matches!(identity.reread(), Err(IdentityError::Tls { .. })));
        std::fs::write(own.join("cert.pem"), "nothing").unwrap();
        assert!(identity.reread().is_err());
        assert!(Arc::ptr_eq(&replaced, &identity.server()));
    }
}
