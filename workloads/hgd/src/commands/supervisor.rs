//! How the supervisor of a running all-in-one is reached: with its own certificate, which lies in the data directory.

use transport::{Client, Identity, Target};

use crate::all_in_one::Ports;
use crate::arguments::Running;
use interface::SUPERVISOR;

#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    #[error("{0}")]
    Name(#[from] protocol::NameError),
    #[error("{directory} is not the data directory of an hgd all-in-one: {why}")]
    Directory { directory: String, why: String },
}

pub fn supervisor(running: &Running) -> Result<(Client, Target), SupervisorError> {
    let data = &running.data_dir;
    let directory = |why: String| SupervisorError::Directory { directory: data.display().to_string(), why };
    let identity = Identity::open(&data.join("pki").join(SUPERVISOR)).map_err(|error| directory(error.to_string()))?;
    let address = Ports::known(&data.join("config"), "admin");
    let address = address.ok_or_else(|| directory("it has no config/ports.json with the supervisor's port".into()))?;
    Ok((Client::new(identity), Target::new(SUPERVISOR.parse()?, address.to_string())))
}
