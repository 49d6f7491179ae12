//! The certificates of one installation, kept in Secrets: its authority's, and one for each process.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crds::conditions::Reason;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use protocol::InstanceName;
use transport::{Authority, Certified};

use crate::problem::Problem;

const AUTHORITY_CERTIFICATE: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";

pub type Data = BTreeMap<String, ByteString>;

/// A new authority, as its Secret keeps it.
pub fn new_authority(now: SystemTime) -> Result<Data, Problem> {
    let made = Authority::make(now).map_err(|error| unusable(&error))?;
    Ok(data([(AUTHORITY_CERTIFICATE.to_owned(), made.certificate), (AUTHORITY_KEY.to_owned(), made.key)]))
}

/// The authority of a Secret. A broken one is never replaced by itself: all certificates of the installation are of
/// it.
pub fn authority(secret: &Secret) -> Result<Authority, Problem> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let lacks = |key: &str| {
        let sentence =
            format!("Secret '{name}' has no usable '{key}': put it back, or delete the Secret for a new one");
        Problem::human(Reason::SecretInvalid, sentence)
    };
    let certificate = text(secret, AUTHORITY_CERTIFICATE).ok_or_else(|| lacks(AUTHORITY_CERTIFICATE))?;
    let key = text(secret, AUTHORITY_KEY).ok_or_else(|| lacks(AUTHORITY_KEY))?;
    Authority::from_pem(certificate.to_owned(), key).map_err(|_| lacks(AUTHORITY_KEY))
}

/// One process that needs a certificate.
pub struct Holder {
    pub name: InstanceName,
    pub addresses: Vec<String>,
}

/// Leaves of a Secret: the certificates that it must have.
#[derive(Clone, Debug, Default)]
pub struct Leaves {
    pub data: Data,
    /// The version of the Secret that those are from which stay; None: there was none.
    pub of: Option<String>,
}

/// Makes what the Secret of these holders must have: certificates that are good stay, others are made.
pub fn leaves(
    authority: &Authority,
    found: Option<&Secret>,
    holders: &[Holder],
    now: SystemTime,
) -> Result<Leaves, Problem> {
    let mut leaves = vec![(AUTHORITY_CERTIFICATE.to_owned(), authority.certificate().to_owned())];
    for Holder { name, addresses } in holders {
        let (certificate, key) = (format!("{name}-cert.pem"), format!("{name}-key.pem"));
        let known = found.and_then(|secret| {
            let (certificate, key) = (text(secret, &certificate)?, text(secret, &key)?);
            Some(Certified { certificate: certificate.to_owned(), key: key.to_owned() })
        });
        let good = known.filter(|known| authority.renewal(known, name, addresses, now).is_some());
        let certified = match good {
            Some(known) => known,
            None => authority.certify(name, addresses, now).map_err(|error| unusable(&error))?,
        };
        leaves.extend([(certificate, certified.certificate), (key, certified.key)]);
    }
    Ok(Leaves { data: data(leaves), of: found.and_then(ResourceExt::resource_version) })
}

pub fn text<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let bytes = secret.data.as_ref()?.get(key)?;
    std::str::from_utf8(&bytes.0).ok().filter(|text| !text.trim().is_empty())
}

fn data(texts: impl IntoIterator<Item = (String, String)>) -> Data {
    texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))).collect()
}

fn unusable(error: &dyn std::fmt::Display) -> Problem {
    Problem::human(Reason::SecretInvalid, format!("certificates cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn secret(data: Data) -> Secret {
        Secret { data: Some(data), ..Secret::default() }
    }

    fn holder(name: &str) -> Holder {
        Holder { name: name.parse().unwrap(), addresses: vec![format!("{name}.hg.code.svc"), "127.0.0.1".into()] }
    }

    #[test]
    fn good_certificates_stay_and_others_are_made() {
        let now = SystemTime::now();
        let authority = authority(&secret(new_authority(now).unwrap())).unwrap();
        let first = leaves(&authority, None, &[holder("hg-ssh-0")], now).unwrap().data;
        assert_eq!(first.len(), 3);
        let more = leaves(&authority, Some(&secret(first.clone())), &[holder("hg-ssh-0"), holder("hg-ssh-1")], now);
        let more = more.unwrap().data;
        assert_eq!(more["hg-ssh-0-cert.pem"], first["hg-ssh-0-cert.pem"]);
        assert_eq!(more.len(), 5);
        let fewer = leaves(&authority, Some(&secret(more)), &[holder("hg-ssh-0")], now).unwrap().data;
        assert_eq!(fewer, first);
        let late = now + Duration::from_secs(300 * 24 * 3600);
        let renewed = leaves(&authority, Some(&secret(first.clone())), &[holder("hg-ssh-0")], late).unwrap().data;
        assert_ne!(renewed["hg-ssh-0-cert.pem"], first["hg-ssh-0-cert.pem"]);
    }

    #[test]
    fn a_broken_authority_is_told_and_not_replaced() {
        let broken = Data::from([("ca.pem".to_owned(), ByteString(b"x".to_vec()))]);
        let problem = authority(&secret(broken)).err().unwrap();
        assert_eq!(problem.class, crate::problem::Class::Human);
        assert!(problem.sentence.contains("'ca.key'"), "{problem}");
    }
}
