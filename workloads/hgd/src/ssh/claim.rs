//! Claims what this instance is, by the register. A register that is asked over a network is asked until it answers: a
//! pod that ended instead would come back later and later.

use std::time::Duration;

use protocol::{DiskId, InstanceName};
use register::{Register, State, Versioned};
use tokio::time::sleep;

use super::SshError;
use crate::probes::Probes;

const PAUSE: Duration = Duration::from_secs(1);

/// Names the register and reads it. One that is missing says nothing: it is made again from what instances answer.
pub async fn read(place: &config::Register, probes: &Probes) -> Result<(Register, Option<State>), SshError> {
    loop {
        let error = match attempt(place).await {
            Ok(found) => return Ok(found),
            Err(error) if error.is_passing() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        tracing::warn!(error, "waiting for the register");
        probes.not_ready(error);
        sleep(PAUSE).await;
    }
}

async fn attempt(place: &config::Register) -> Result<(Register, Option<State>), register::ReadError> {
    let register = match place {
        config::Register::File(path) => Register::file(path)?,
        config::Register::Lease { lease } => Register::lease(&lease.namespace, &lease.name).await?,
    };
    let state = register.read().await?.map(|known| known.value);
    Ok((register, state))
}

/// Takes the next generation for `name`, whose disk this is.
pub async fn take(
    register: &Register,
    name: &InstanceName,
    disk: &DiskId,
    probes: &Probes,
) -> Result<Versioned<State>, SshError> {
    loop {
        match register.take_generation(name, disk).await {
            Ok(taken) => return Ok(taken),
            Err(error) if matches!(register, Register::Lease(_)) && error.is_passing() => {
                tracing::warn!(%error, "waiting for the register");
                probes.not_ready(error.to_string());
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
