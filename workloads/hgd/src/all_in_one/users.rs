//! Users who may log in: the Secret's `authorized_keys`, in all-in-one a file. Where there is none, it is made of the
//! person's own public keys, else of a key made for the purpose.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ssh_server::{HostKeysError, make_user_key};

pub struct Users {
    pub authorized_keys: PathBuf,
    /// User to show in examples.
    pub user: String,
    /// None: ssh is to find it, as it finds those that stand in the file already.
    pub identity_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error(transparent)]
    Key(#[from] HostKeysError),
    #[error("{0} has no line with a key and a user name behind it: write '<type> <key> <user>' into it")]
    Empty(String),
}

/// Reads or makes `DIR/secrets/<name>/authorized_keys`.
pub fn prepare(data: &Path, secret: &str) -> Result<Users, UsersError> {
    let folder = data.join("secrets").join(secret);
    let authorized_keys = folder.join("authorized_keys");
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |source| UsersError::Io { path, source }
    };
    fs::create_dir_all(&folder).map_err(io(&folder))?;
    let own_key = data.join("identity");
    if !authorized_keys.exists() {
        let keys = match public_keys() {
            keys if keys.is_empty() => vec![make_user_key(&own_key)?],
            keys => keys,
        };
        let user = account();
        let lines: String = keys.iter().map(|key| format!("{key} {user}\n")).collect();
        fs::write(&authorized_keys, lines).map_err(io(&authorized_keys))?;
    }
    let text = fs::read_to_string(&authorized_keys).map_err(io(&authorized_keys))?;
    let user = text.lines().filter(|line| !line.trim_start().starts_with('#')).find_map(user_of);
    let user = user.ok_or_else(|| UsersError::Empty(authorized_keys.display().to_string()))?.to_owned();
    let identity_file = if own_key.exists() { Some(own_key) } else { own_identity() };
    Ok(Users { authorized_keys, user, identity_file })
}

fn user_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("AAAA"));
    words.nth(1)
}

fn account() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    if name.parse::<protocol::UserName>().is_ok() { name } else { "developer".into() }
}

fn ssh_folder() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| Path::new(&home).join(".ssh"))
}

/// The person's private keys that have a public half, best kind first.
fn own_identities() -> Vec<PathBuf> {
    let Some(folder) = ssh_folder() else { return Vec::new() };
    let names = ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| folder.join(name));
    names.into_iter().filter(|path| path.exists() && path.with_extension("pub").exists()).collect()
}

fn own_identity() -> Option<PathBuf> {
    own_identities().into_iter().next()
}

/// Type and key of each, without the comment.
fn public_keys() -> Vec<String> {
    let texts = own_identities().into_iter().filter_map(|path| fs::read_to_string(path.with_extension("pub")).ok());
    texts.filter_map(|text| text.split_whitespace().take(2).map(str::to_owned).reduce(|a, b| a + " " + &b)).collect()
}
