//! Validates what only the operator can see of an SshMaster: whether what it names is there and can be used.

use crds::conditions::Reason;
use k8s_openapi::api::core::v1::Secret;
use ssh_server::HOST_KEY_FILES;

use super::observe::Observed;
use crate::certificates::text;
use crate::names::AUTHORIZED_KEYS;
use crate::objects::words;
use crate::problem::Problem;
use crate::storage;

/// The first problem that is in the way; None: go on.
pub fn validate(observed: &Observed) -> Result<(), Problem> {
    let (spec, workload) = (&observed.master.spec, observed.workload());
    if workload.instance(spec.instances.saturating_sub(1)).is_none() {
        let sentence = format!(
            "metadata.name: '{}' cannot be part of a pod's name: a-z, 0-9 and '-' are allowed, at most 50 characters",
            workload.name
        );
        return Err(Problem::user(Reason::SpecInvalid, sentence));
    }
    words::validate(&spec.pods(), &spec.service.annotations)?;
    users(observed)?;
    if let Some(reference) = &spec.host_keys_secret_ref {
        host_keys(&reference.name, observed.named_host_keys.as_deref())?;
    }
    storage::must_not_shrink(&spec.storage, &observed.claims)
}

/// In the way of all that could end a pod while nobody knows who is master. `why` it is not made again is known after
/// some seconds.
pub fn lost_register(why: Option<String>) -> Problem {
    match why {
        Some(why) => Problem::human(Reason::RegisterLost, why),
        None => Problem::behind("the register is missing while volumes exist: the instances are asked what they hold"),
    }
}

/// Whether it is known who may log in.
pub fn users(observed: &Observed) -> Result<(), Problem> {
    let field = "spec.directory.authorizedKeys.secretRef.name";
    let name = &observed.master.spec.directory.authorized_keys.secret_ref.name;
    let Some(secret) = &observed.users else { return Err(missing(field, name)) };
    // Nobody may log in is allowed: the file may be empty, but not absent.
    if secret.data.as_ref().is_some_and(|data| data.contains_key(AUTHORIZED_KEYS)) {
        return Ok(());
    }
    let sentence =
        format!("{field}: Secret '{name}' has no key '{AUTHORIZED_KEYS}', which is to hold one public key a line");
    Err(Problem::user(Reason::SecretInvalid, sentence))
}

fn host_keys(name: &str, secret: Option<&Secret>) -> Result<(), Problem> {
    let field = "spec.hostKeysSecretRef.name";
    let Some(secret) = secret else { return Err(missing(field, name)) };
    let texts: Vec<(&str, &str)> =
        HOST_KEY_FILES.into_iter().filter_map(|key| text(secret, key).map(|text| (key, text))).collect();
    if texts.is_empty() {
        let names = HOST_KEY_FILES.map(|name| format!("'{name}'")).join(", ");
        let sentence = format!("{field}: Secret '{name}' has none of {names}, which are to hold keys");
        return Err(Problem::user(Reason::SecretInvalid, sentence));
    }
    for (key, text) in texts {
        if let Err(reason) = ssh_server::fingerprint(text) {
            let sentence = format!("{field}: '{key}' of Secret '{name}' is not a private key of OpenSSH: {reason}");
            return Err(Problem::user(Reason::SecretInvalid, sentence));
        }
    }
    Ok(())
}

fn missing(field: &str, name: &str) -> Problem {
    Problem::user(Reason::SecretMissing, format!("{field}: there is no Secret '{name}' in this namespace"))
}
