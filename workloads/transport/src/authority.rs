//! The certificate authority of one installation, and the certificates it gives to instances.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use protocol::InstanceName;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rcgen::{Issuer, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::Validity;
use crate::store::{self, WriteError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Clocks of different machines may differ by this.
const CLOCK_SKEW: Duration = DAY;

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot make the folder {}: {source}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("{} has ca.pem or ca.key without the other: put the missing one back, or remove both for a new authority",
        directory.display())]
    Half { directory: PathBuf },
    #[error("the key of the authority does not belong to its certificate")]
    Mismatch,
}

/// A certificate with its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

/// Holds the authority's key. Only the supervisor (without Kubernetes) and the operator have one.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads `ca.pem` and `ca.key` in `directory`, or makes them.
    pub fn open_or_create(directory: &Path) -> Result<Authority, AuthorityError> {
        make_directory(directory)?;
        let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
        match (read(&certificate)?, read(&key)?) {
            (Some(certificate), Some(key)) => Authority::from_pem(certificate, &key),
            (None, None) => Authority::create(&certificate, &key),
            // A crash between the two writes leaves a key that has signed nothing.
            (None, Some(_)) => Authority::create(&certificate, &key),
            (Some(_), None) => Err(AuthorityError::Half { directory: directory.to_owned() }),
        }
    }

    fn create(certificate_file: &Path, key_file: &Path) -> Result<Authority, AuthorityError> {
        let Certified { certificate, key } = Authority::make(SystemTime::now())?;
        store::replace(key_file, key.as_bytes(), store::SECRET)?;
        store::replace(certificate_file, certificate.as_bytes(), store::PUBLIC)?;
        Authority::from_pem(certificate, &key)
    }

    /// A new authority, for whoever keeps it elsewhere than in a folder; [`Authority::from_pem`] reads it.
    pub fn make(now: SystemTime) -> Result<Certified, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = authority_parameters(now).self_signed(&key)?.pem();
        Ok(Certified { certificate, key: key.serialize_pem() })
    }

    /// Our certificates all have the same subject and key identifier method, hence what the issuer needs to know is in
    /// the key alone.
    pub fn from_pem(certificate: String, key: &str) -> Result<Authority, AuthorityError> {
        if !is_key_of(key, &certificate) {
            return Err(AuthorityError::Mismatch);
        }
        let issuer = Issuer::new(authority_parameters(SystemTime::now()), KeyPair::from_pem(key)?);
        Ok(Authority { certificate, issuer })
    }

    /// Answers what others trust: the text of `ca.pem`.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new certificate for `name`, valid for a year. `addresses` are other names and IP addresses under which the
    /// instance may be reached.
    pub fn certify(
        &self,
        name: &InstanceName,
        addresses: &[String],
        now: SystemTime,
    ) -> Result<Certified, AuthorityError> {
        let pair = KeyPair::generate()?;
        let certificate = leaf_parameters(&all_names(name, addresses), now)?.signed_by(&pair, &self.issuer)?.pem();
        Ok(Certified { certificate, key: pair.serialize_pem() })
    }

    /// When `certified` has to be made again; None: now, because it is not of this authority, its key is another's, it
    /// names something else, or two thirds of its time are over.
    pub fn renewal(
        &self,
        certified: &Certified,
        name: &InstanceName,
        addresses: &[String],
        now: SystemTime,
    ) -> Option<SystemTime> {
        let Certified { certificate, key } = certified;
        let validity = Validity::of(certificate, &self.certificate)?;
        let good = validity.contains(now) && validity.renewal() > now;
        let good = good && is_key_of(key, certificate) && has_names(certificate, &all_names(name, addresses));
        good.then(|| validity.renewal())
    }

    /// Makes `ca.pem`, `cert.pem` and `key.pem` in `directory` what an [`crate::Identity`] of this name needs, and
    /// says whether anything changed. What is there stays until [`Authority::renewal`].
    pub fn issue(&self, name: &InstanceName, addresses: &[String], directory: &Path) -> Result<bool, AuthorityError> {
        self.issue_at(name, addresses, directory, SystemTime::now())
    }

    fn issue_at(
        &self,
        name: &InstanceName,
        addresses: &[String],
        directory: &Path,
        now: SystemTime,
    ) -> Result<bool, AuthorityError> {
        make_directory(directory)?;
        let (ca, certificate, key) = (directory.join("ca.pem"), directory.join("cert.pem"), directory.join("key.pem"));
        if let (Some(ca), Some(certificate), Some(key)) = (read(&ca)?, read(&certificate)?, read(&key)?)
            && ca == self.certificate
            && self.renewal(&Certified { certificate, key }, name, addresses, now).is_some()
        {
            return Ok(false);
        }
        let made = self.certify(name, addresses, now)?;
        // A reader between these writes finds a key that does not fit the certificate and keeps what it has.
        store::replace(&ca, self.certificate.as_bytes(), store::PUBLIC)?;
        store::replace(&key, made.key.as_bytes(), store::SECRET)?;
        store::replace(&certificate, made.certificate.as_bytes(), store::PUBLIC)?;
        Ok(true)
    }
}

impl std::fmt::Debug for Certified {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certified").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn authority_parameters(now: SystemTime) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "hg-operator authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut parameters, now, AUTHORITY_LIFETIME);
    parameters
}

fn leaf_parameters(names: &[String], now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "hg-operator");
    parameters.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    set_validity(&mut parameters, now, CERTIFICATE_LIFETIME);
    Ok(parameters)
}

fn set_validity(parameters: &mut CertificateParams, now: SystemTime, lifetime: Duration) {
    parameters.not_before = (now - CLOCK_SKEW).into();
    parameters.not_after = (now + lifetime).into();
}

/// The instance's own name is the first: it is how a peer is known.
fn all_names(name: &InstanceName, addresses: &[String]) -> Vec<String> {
    let mut names = vec![name.to_string()];
    names.extend(addresses.iter().filter(|address| *address != name.as_str()).cloned());
    names
}

fn is_key_of(key: &str, certificate: &str) -> bool {
    let attempt = || {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
        let key = rustls::crypto::aws_lc_rs::default_provider().key_provider.load_private_key(key).ok()?;
        rustls::sign::CertifiedKey::new(vec![certificate], key).keys_match().ok()
    };
    attempt().is_some()
}

/// Exactly `names`, as far as DNS names go, in this order; at least the IP addresses of `names`.
fn has_names(certificate: &str, names: &[String]) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_slice(certificate.as_bytes()) else { return false };
    let Ok(leaf) = webpki::EndEntityCert::try_from(&certificate) else { return false };
    let named = names.iter().all(|name| {
        rustls_pki_types::ServerName::try_from(name.as_str())
            .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
    });
    let dns = names.iter().filter(|name| name.parse::<std::net::IpAddr>().is_err());
    named && leaf.valid_dns_names().eq(dns)
}

fn make_directory(path: &Path) -> Result<(), AuthorityError> {
    std::fs::create_dir_all(path).map_err(|source| AuthorityError::Directory { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthorityError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_less_than_a_third_of_its_time_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(&directory.path().join("ca")).unwrap();
        let (name, own) = ("ssh-0".parse().unwrap(), directory.path().join("ssh-0"));
        let addresses = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let now = SystemTime::now();
        assert!(authority.issue_at(&name, &addresses, &own, now).unwrap());
        assert!(!authority.issue_at(&name, &addresses, &own, now + 240 * DAY).unwrap());
        assert!(authority.issue_at(&name, &addresses, &own, now + 250 * DAY).unwrap());
        assert!(!authority.issue_at(&name, &addresses, &own, now + 400 * DAY).unwrap());
        assert!(authority.issue_at(&name, &addresses[..1], &own, now + 400 * DAY).unwrap());
        for secret in [directory.path().join("ca/ca.key"), own.join("key.pem")] {
            assert_eq!(std::fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn certificates_are_made_in_memory_and_say_when_to_renew() {
        let now = SystemTime::now();
        let made = Authority::make(now).unwrap();
        let authority = Authority::from_pem(made.certificate.clone(), &made.key).unwrap();
        let name = "hg-ssh-0".parse().unwrap();
        let addresses = ["hg-ssh-0.hg-ssh-instances.hg.svc".to_owned(), "127.0.0.1".to_owned()];
        let certified = authority.certify(&name, &addresses, now).unwrap();
        let renewal = authority.renewal(&certified, &name, &addresses, now).unwrap();
        let days = renewal.duration_since(now).unwrap().as_secs() / DAY.as_secs();
        assert_eq!(days, 242, "two thirds of a year and a day, of which one day is past");
        assert_eq!(authority.renewal(&certified, &name, &addresses, renewal - DAY), Some(renewal));
        for (other, addresses, at) in [
            (&certified, &addresses[..], renewal + DAY),
            (&certified, &addresses[..1], renewal + 400 * DAY),
            (&certified, &addresses[1..], now),
            (&Certified { key: made.key.clone(), ..certified.clone() }, &addresses[..], now),
            (&Certified { certificate: "nothing".into(), ..certified.clone() }, &addresses[..], now),
        ] {
            assert_eq!(authority.renewal(other, &name, addresses, at), None);
        }
        assert_eq!(authority.renewal(&certified, &"hg-ssh-1".parse().unwrap(), &addresses, now), None);
        let other = Authority::make(now).unwrap();
        assert!(matches!(Authority::from_pem(made.certificate, &other.key), Err(AuthorityError::Mismatch)));
        let other = Authority::from_pem(other.certificate, &other.key).unwrap();
        assert_eq!(other.renewal(&certified, &name, &addresses, now), None);
        assert!(!format!("{certified:?}").contains("PRIVATE"));
    }

    #[test]
    fn an_authority_read_again_signs_for_the_same_root() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        let name = "mirror-0".parse().unwrap();
        assert!(Authority::open_or_create(directory.path()).unwrap().issue(&name, &[], &own).unwrap());
        let again = Authority::open_or_create(directory.path()).unwrap();
        assert!(!again.issue(&name, &[], &own).unwrap());
        std::fs::remove_file(own.join("cert.pem")).unwrap();
        assert!(again.issue(&name, &[], &own).unwrap());
        assert!(!again.issue(&name, &[], &own).unwrap());
        std::fs::remove_file(directory.path().join("ca.key")).unwrap();
        assert!(matches!(Authority::open_or_create(directory.path()), Err(AuthorityError::Half { .. })));
    }
}
