//! What one process shows to others and trusts: `ca.pem`, `cert.pem` and `key.pem` in one folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;

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
    directory: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    files: Files,
    checked: Instant,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

#[derive(PartialEq, Eq)]
struct Files {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Identity {
    pub fn open(directory: &Path) -> Result<Identity, IdentityError> {
        let files = Files::read(directory)?;
        let (server, client) = files.configure(directory)?;
        let current = Mutex::new(Current { files, checked: Instant::now(), server, client });
        Ok(Identity { inner: Arc::new(Inner { directory: directory.to_owned(), current }) })
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
        let files = Files::read(&self.directory)?;
        if files == current.files {
            return Ok(false);
        }
        let (server, client) = files.configure(&self.directory)?;
        *current = Current { files, checked: current.checked, server, client };
        tracing::info!(directory = %self.directory.display(), "certificates replaced");
        Ok(true)
    }
}

impl Files {
    fn read(directory: &Path) -> Result<Files, IdentityError> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|source| IdentityError::Read { path, source })
        };
        Ok(Files { authority: read("ca.pem")?, certificate: read("cert.pem")?, key: read("key.pem")? })
    }

    fn configure(&self, directory: &Path) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), IdentityError> {
        let pem = |name: &str| {
            let path = directory.join(name);
            move |source| IdentityError::Pem { path, source }
        };
        let tls = |source| IdentityError::Tls { directory: directory.to_owned(), source };
        let certificates = |bytes: &[u8], name: &str| {
            CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().map_err(pem(name))
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.authority, "ca.pem")? {
            roots.add(root).map_err(tls)?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&self.certificate, "cert.pem")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(pem("key.pem"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|source| IdentityError::Verifier { directory: directory.to_owned(), source })?;
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
