//! Announces to a person, and to a program, once everything is ready.

use std::io;
use std::path::{Path, PathBuf};

use crds::Resources;
use serde::Serialize;

use super::plan::Plan;
use super::users::Users;

/// Below the data directory, while it runs.
pub const READY_FILE: &str = "ready.json";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    ssh: Ssh,
    http: String,
    mirrors: Vec<String>,
    status: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ssh {
    host: String,
    port: u16,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_file: Option<PathBuf>,
}

impl Ready {
    pub fn of(data: &Path, plan: &Plan, users: &Users) -> Ready {
        Ready {
            ssh: Ssh {
                host: plan.ssh_address.ip().to_string(),
                port: plan.ssh_address.port(),
                user: users.user.clone(),
                identity_file: users.identity_file.clone(),
            },
            http: format!("http://{}", plan.http),
            mirrors: plan.mirrors.iter().map(|mirror| mirror.url.clone()).collect(),
            status: format!("unix:{}", super::socket(data).display()),
        }
    }

    /// Appears whole or not at all.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let temporary = file.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(temporary, file)
    }
}

/// Commands that work when pasted.
pub fn text(ready: &Ready, resources: &Resources, data: &Path) -> String {
    let Some(first) = resources.repositories.first() else {
        return "ready, but the resources name no HgRepository\n".to_owned();
    };
    let path = &first.spec.path;
    let Ssh { host, port, user, identity_file } = &ready.ssh;
    let identity = identity_file.as_ref().map(|file| format!("-i {} ", file.display())).unwrap_or_default();
    let ssh = format!("ssh {identity}-o StrictHostKeyChecking=accept-new");
    let clone = path.as_str().rsplit('/').next().unwrap_or_default();
    let (http, data) = (&ready.http, data.display());
    format!(
        "\nReady. Clone from the mirrors:\n\n  hg clone {http}/{path}\n\nPush to the master:\n\n  cd {clone}\n  \
         echo hello > README && hg commit -A -m first -u {user}\n  hg --config ui.ssh='{ssh}' push \
         ssh://{user}@{host}:{port}/{path}\n\nLook:\n\n  hgd status --data-dir {data}\n  {http}/\n\nCtrl-C \
         stops everything; the same command starts it again.\n"
    )
}
