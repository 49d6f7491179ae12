//! Accounts from a file in the format of OpenSSH's `authorized_keys` (sshd(8)): the first word of each line's comment
//! is the user name. Options are refused, because none of them would be obeyed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use protocol::UserName;
use russh::keys::PublicKey;
use russh::keys::ssh_key::public::KeyData;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::Account;
use crate::limits::MIN_RSA_BITS;

/// How often the file is looked at.
const POLL: Duration = Duration::from_secs(2);
/// A longer file is not read.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Group name to user names; `*` is everybody who can log in.
pub type Groups = BTreeMap<String, BTreeSet<String>>;

/// The file as it was last read without a mistake.
#[derive(Debug)]
pub struct AuthorizedKeys {
    path: PathBuf,
    /// Copy of it, for a start at which it is wrong.
    kept: PathBuf,
    groups: Groups,
    users: RwLock<Arc<Users>>,
    /// Stamp of the file that was last read, right or wrong.
    stamp: RwLock<Stamp>,
}

type Users = HashMap<UserName, Vec<KeyData>>;

/// Changes whenever the file is written, replaced, or its (Kubernetes Secret's) symbolic link is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: the file has {bytes} bytes: {MAX_FILE_BYTES} are allowed")]
    Long { path: PathBuf, bytes: u64 },
    #[error("{path}:{line}: {reason}")]
    Line { path: PathBuf, line: usize, reason: String },
}

impl KeysError {
    /// Answers whether another reading fares no better until somebody has changed the file.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            KeysError::Io { source, .. } => crate::is_lasting(source),
            KeysError::Long { .. } | KeysError::Line { .. } => true,
        }
    }
}

impl AuthorizedKeys {
    /// Reads the file; [`crate::serve`] reads it again whenever it changes. What was read without a mistake is copied
    /// to `kept`, and counts at a start at which the file has one.
    pub fn open(path: &Path, kept: &Path, groups: Groups) -> Result<Arc<AuthorizedKeys>, KeysError> {
        let (stamp, found) = read(path);
        let users = match found {
            Ok((users, text)) => {
                keep(kept, &text);
                users
            }
            Err(error) => {
                let before = std::fs::read_to_string(kept).ok().and_then(|text| parse(&text).ok());
                let Some(users) = before else { return Err(error) };
                error!(%error, "the authorized keys are wrong: those read before this start stay in force");
                users
            }
        };
        Ok(Arc::new(AuthorizedKeys {
            path: path.to_owned(),
            kept: kept.to_owned(),
            groups,
            users: RwLock::new(Arc::new(users)),
            stamp: RwLock::new(stamp),
        }))
    }

    pub(crate) fn find(&self, user: &str, key: &PublicKey) -> Option<Account> {
        let user: UserName = user.parse().ok()?;
        let users = Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner));
        if !users.get(&user)?.contains(key.key_data()) {
            return None;
        }
        let member = |names: &BTreeSet<String>| names.contains("*") || names.contains(user.as_str());
        let groups = self.groups.iter().filter(|(_, names)| member(names)).map(|(group, _)| group.clone()).collect();
        Some(Account { user, groups })
    }

    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let keys = Arc::clone(&self);
            // A file system may hang; the server does not.
            if let Err(failed) = tokio::task::spawn_blocking(move || keys.look()).await {
                error!(%failed, "the look at the authorized keys ended abnormally");
            }
        }
    }

    /// Takes a changed file over; one with a mistake is logged once and leaves everything as it was. Blocks.
    pub fn look(&self) {
        let known = *self.stamp.read().unwrap_or_else(PoisonError::into_inner);
        if Stamp::of(&self.path).unwrap_or(Stamp::GONE) == known {
            return;
        }
        let (stamp, found) = read(&self.path);
        match found {
            Ok((users, text)) => {
                info!(path = %self.path.display(), users = users.len(), "the authorized keys have changed");
                keep(&self.kept, &text);
                *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
            }
            Err(error) => error!(%error, "the authorized keys are wrong: those read before stay in force"),
        }
        *self.stamp.write().unwrap_or_else(PoisonError::into_inner) = stamp;
    }
}

impl Stamp {
    const GONE: Stamp = Stamp { inode: 0, size: 0, modified: (0, 0) };

    fn of(path: &Path) -> io::Result<Stamp> {
        std::fs::metadata(path).map(|found| Stamp {
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

fn read(path: &Path) -> (Stamp, Result<(Users, String), KeysError>) {
    let failed = |source| KeysError::Io { path: path.to_owned(), source };
    let stamp = match Stamp::of(path) {
        Ok(stamp) if stamp.size > MAX_FILE_BYTES => {
            return (stamp, Err(KeysError::Long { path: path.to_owned(), bytes: stamp.size }));
        }
        Ok(stamp) => stamp,
        Err(source) => return (Stamp::GONE, Err(failed(source))),
    };
    let read = std::fs::read_to_string(path).map_err(failed).and_then(|text| match parse(&text) {
        Ok(users) => Ok((users, text)),
        Err((line, reason)) => Err(KeysError::Line { path: path.to_owned(), line, reason }),
    });
    (stamp, read)
}

/// Replaces the copy as a whole. Without it nothing is missing but at a start with a wrong file.
fn keep(kept: &Path, text: &str) {
    let new = kept.with_extension("new");
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, kept));
    if let Err(error) = written {
        warn!(%error, path = %kept.display(), "no copy of the authorized keys can be kept");
    }
}

fn parse(text: &str) -> Result<Users, (usize, String)> {
    let mut users = Users::new();
    for (before, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, key) = entry(line).map_err(|reason| (before + 1, reason))?;
        users.entry(user).or_default().push(key);
    }
    Ok(users)
}

fn entry(line: &str) -> Result<(UserName, KeyData), String> {
    let mut words = line.split_whitespace();
    let (Some(kind), Some(body), Some(user)) = (words.next(), words.next(), words.next()) else {
        return Err("a key type, a key and a user name are allowed, in this order".to_owned());
    };
    if !["ssh-", "ecdsa-", "sk-"].iter().any(|start| kind.starts_with(start)) {
        return Err(format!("'{}' is not a key type; options are not allowed", shorten(kind)));
    }
    let user = user.parse().map_err(|error| format!("'{}': {error}", shorten(user)))?;
    let key = PublicKey::from_openssh(&format!("{kind} {body}"))
        .map_err(|error| format!("the key of {user} is not a public key of type {}: {error}", shorten(kind)))?;
    let data = key.key_data().clone();
    match &data {
        KeyData::Dsa(_) => Err(format!("the key of {user} is a DSA key, which is not safe: ssh-ed25519 is")),
        KeyData::Rsa(rsa) if rsa.key_size() < MIN_RSA_BITS => {
            let bits = rsa.key_size();
            Err(format!("the RSA key of {user} has {bits} bits: {MIN_RSA_BITS} or more are allowed"))
        }
        _ => Ok((user, data)),
    }
}

fn shorten(word: &str) -> String {
    word.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIKPwN3Pz7wNfcLgEC6mZhbI7GeQ5lL8fQhpY4GZEqGgY";
    const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIHaVRPRZ2JmHWKK3ryXjBj5O1WZIVQRxTvNKYyQKmhvT";

    fn key(body: &str) -> PublicKey {
        PublicKey::from_openssh(&format!("ssh-ed25519 {body}")).unwrap()
    }

    /// The kubelet replaces a secret by moving one link; the file's own name stays a link for ever.
    #[test]
    fn a_secret_that_is_replaced_under_its_link_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let fill = |version: &str, user: &str| {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            let file = folder.path().join(version).join("authorized_keys");
            std::fs::write(file, format!("ssh-ed25519 {KEY} {user}\n")).unwrap();
            std::os::unix::fs::symlink(version, folder.path().join("..data_tmp")).unwrap();
            std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        };
        fill("..1", "ann");
        let file = folder.path().join("authorized_keys");
        std::os::unix::fs::symlink("..data/authorized_keys", &file).unwrap();
        let keys = AuthorizedKeys::open(&file, &folder.path().join("kept"), Groups::default()).unwrap();
        assert!(keys.find("ann", &key(KEY)).is_some());
        // Of the same length, in the same moment: only the file is another.
        fill("..2", "bob");
        keys.look();
        assert!(keys.find("ann", &key(KEY)).is_none() && keys.find("bob", &key(KEY)).is_some());
    }

    #[test]
    fn the_first_word_of_the_comment_is_the_user() {
        let users = parse(&format!(
            "# people\n\nssh-ed25519 {KEY} ann@example.com her laptop\n ssh-ed25519 {OTHER} ann@example.com\r\n"
        ))
        .unwrap();
        assert_eq!(users.len(), 1);
        assert_eq!(users[&"ann@example.com".parse::<UserName>().unwrap()].len(), 2);
    }

    #[test]
    fn each_mistake_names_its_line() {
        for (line, reason) in [
            (format!("ssh-ed25519 {KEY}"), "a key type, a key and a user name are allowed, in this order"),
            (
                format!("command=\"id\" ssh-ed25519 {KEY} ann"),
                "'command=\"id\"' is not a key type; options are not allowed",
            ),
            (format!("no-pty ssh-ed25519 {KEY} ann"), "'no-pty' is not a key type; options are not allowed"),
        ] {
            assert_eq!(parse(&format!("# first\n{line}\n")).unwrap_err(), (2, reason.to_owned()));
        }
        let bad_user = format!("ssh-ed25519 {KEY} a\\b");
        assert!(parse(&bad_user).unwrap_err().1.starts_with("'a\\b': a user name has"));
        assert!(parse("ssh-ed25519 AAAA ann").unwrap_err().1.starts_with("the key of ann is not a public key"));
        assert!(parse(&format!("ssh-rsa {KEY} ann")).is_err());
    }

    #[test]
    fn a_changed_file_is_taken_over_and_a_wrong_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (path, kept) = (directory.path().join("keys"), directory.path().join("kept"));
        std::fs::write(&path, format!("ssh-ed25519 {KEY} ann\n")).unwrap();
        let groups = Groups::from([
            ("all".into(), BTreeSet::from(["*".into()])),
            ("some".into(), BTreeSet::from(["bob".into()])),
        ]);
        let keys = AuthorizedKeys::open(&path, &kept, groups.clone()).unwrap();
        assert_eq!(keys.find("ann", &key(KEY)).unwrap().groups, BTreeSet::from(["all".into()]));
        assert!(keys.find("ann", &key(OTHER)).is_none());
        assert!(keys.find("bob", &key(KEY)).is_none());
        std::fs::write(&path, format!("ssh-ed25519 {OTHER} bob\nnonsense\n")).unwrap();
        keys.look();
        assert!(keys.find("bob", &key(OTHER)).is_none());
        assert!(keys.find("ann", &key(KEY)).is_some());
        std::fs::remove_file(&path).unwrap();
        keys.look();
        assert!(keys.find("ann", &key(KEY)).is_some());
        std::fs::write(&path, format!("ssh-ed25519 {OTHER} bob\n")).unwrap();
        keys.look();
        assert_eq!(keys.find("bob", &key(OTHER)).unwrap().groups, BTreeSet::from(["all".into(), "some".into()]));
        assert!(keys.find("ann", &key(KEY)).is_none());
        // At the next start too.
        std::fs::write(&path, format!("ssh-ed25519 {KEY} ann\nnonsense\n")).unwrap();
        let again = AuthorizedKeys::open(&path, &kept, groups.clone()).unwrap();
        assert!(again.find("bob", &key(OTHER)).is_some() && again.find("ann", &key(KEY)).is_none());
        std::fs::remove_file(&kept).unwrap();
        let first = AuthorizedKeys::open(&path, &kept, groups).unwrap_err();
        assert!(first.to_string().contains("keys:2: ") && first.is_of_configuration(), "{first}");
    }
}
