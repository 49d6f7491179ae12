//! Certificate, and what is read from it.

use std::time::{Duration, SystemTime};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};

/// The times that a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Validity {
    /// Reads the validity of the first certificate of `certificate`, if the first of `authority` signed it (both PEM).
    pub fn of(certificate: &str, authority: &str) -> Option<Validity> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let authority = CertificateDer::from_pem_slice(authority.as_bytes()).ok()?;
        let anchor = webpki::anchor_from_trusted_cert(&authority).ok()?;
        let leaf = webpki::EndEntityCert::try_from(&certificate).ok()?;
        // webpki keeps the two times to itself, and names them when it refuses a certificate for their sake.
        let not_after = match refuse(&leaf, &anchor, UnixTime::since_unix_epoch(FAR)) {
            Some(webpki::Error::CertExpired { not_after, .. }) => not_after,
            _ => return None,
        };
        let not_before = match refuse(&leaf, &anchor, UnixTime::since_unix_epoch(Duration::ZERO)) {
            Some(webpki::Error::CertNotValidYet { not_before, .. }) => not_before,
            _ => return None,
        };
        // Those two refusals come before the signature is looked at.
        refuse(&leaf, &anchor, not_before).is_none().then_some(())?;
        let time = |time: UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
        Some(Validity { not_before: time(not_before), not_after: time(not_after) })
    }

    /// When two thirds of the time are over: from then on a new one is made.
    pub fn renewal(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + life / 3 * 2
    }

    pub fn contains(&self, time: SystemTime) -> bool {
        (self.not_before..=self.not_after).contains(&time)
    }
}

/// After the end of every certificate: the year 9999 is over.
const FAR: Duration = Duration::from_secs(253_402_300_800);

fn refuse(leaf: &webpki::EndEntityCert<'_>, anchor: &TrustAnchor<'_>, time: UnixTime) -> Option<webpki::Error> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms.all;
    let usage = webpki::KeyUsage::client_auth();
    leaf.verify_for_usage(algorithms, std::slice::from_ref(anchor), &[], time, usage, None, None).err()
}
