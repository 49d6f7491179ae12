//! `hgd strip`: asks the master itself, with the supervisor's certificate.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use config::SshRole;
use interface::{Ask, AskError, ask, paths};
use protocol::{ChangesetId, InstanceName, RepositoryPath};
use serde_json::Value;
use transport::{Client, Identity, Target};

use crate::{arguments, process};

/// For one instance: a change waits for its commit.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    #[error("{0}")]
    Name(#[from] protocol::NameError),
    #[error("{0}")]
    Hash(#[from] protocol::ParseHashError),
    #[error("{directory} is not the data directory of an hgd all-in-one: {why}")]
    Directory { directory: String, why: String },
    #[error(transparent)]
    Config(#[from] config::LoadError),
    #[error(transparent)]
    Identity(#[from] transport::IdentityError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("nothing is lost yet; give the record up with --lose")]
    NotLost,
}

pub fn strip(options: &arguments::Strip) -> ExitCode {
    process::run(async {
        let offset = request(options).await?;
        println!("recorded strip of {} changesets in replication log: {offset}", options.changesets.len());
        Ok::<(), ChangeError>(())
    })
}

async fn request(options: &arguments::Strip) -> Result<String, ChangeError> {
    let path = RepositoryPath::from_client(&options.repository)?;
    let changesets: Vec<ChangesetId> = options.changesets.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let user = std::env::var("USER").unwrap_or_else(|_| "operator".into());
    let body = serde_json::json!({ "changesets": changesets, "user": user });
    let answer = change(&options.master, &paths::strip(&path), &body).await?;
    Ok(answer["offset"].to_string())
}

/// Has the master change something, whoever is it.
pub(super) async fn change(master: &arguments::Master, url: &str, body: &Value) -> Result<Value, ChangeError> {
    let (identity, targets) = match &master.config {
        Some(config) => own(config)?,
        None => supervised(&master.running.data_dir)?,
    };
    let client = Client::new(identity);
    Ok(ask(&client, &targets, Ask::Post(url, body), PATIENCE).await?)
}

/// The certificate of all-in-one's supervisor, and all SSH instances.
fn supervised(data: &Path) -> Result<(Identity, Vec<Target>), ChangeError> {
    let directory = |why: String| ChangeError::Directory { directory: data.display().to_string(), why };
    let identity =
        Identity::open(&data.join("pki").join("supervisor")).map_err(|error| directory(error.to_string()))?;
    Ok((identity, masters(data).map_err(directory)?))
}

/// The certificate of an SSH instance, and itself: each may ask itself.
fn own(config: &Path) -> Result<(Identity, Vec<Target>), ChangeError> {
    let role: SshRole = config::load(config)?;
    let mut address = role.admin_listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok((process::identity(&role.tls)?, vec![Target::new(role.name, address.to_string())]))
}

/// The SSH instances of the installation, from the configurations that the supervisor wrote.
fn masters(data: &Path) -> Result<Vec<Target>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data.join("config")).map_err(|error| text(&error))? {
        let path = entry.map_err(|error| text(&error))?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(name) = name.starts_with("ssh-").then(|| name.parse::<InstanceName>().ok()).flatten() {
            let role: SshRole = config::load(&path).map_err(|error| text(&error))?;
            found.push(Target::new(name, role.admin_listen.to_string()));
        }
    }
    Ok(found)
}
