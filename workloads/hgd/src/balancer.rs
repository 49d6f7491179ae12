//! `hgd balancer`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::balancer::ssh::SshFront;
use ::balancer::{BalancerOptions, Settings};
use config::BalancerRole;
use register::Register;
use tokio::net::TcpListener;
use transport::{CancellationToken, Client, Target};

use crate::process::{self, Fault};

#[derive(Debug, thiserror::Error)]
pub enum BalancerError {
    #[error(transparent)]
    Config(#[from] config::LoadError),
    #[error(transparent)]
    Identity(#[from] transport::IdentityError),
    #[error("{address} cannot be listened on: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error(transparent)]
    Register(#[from] register::ReadError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Fault for BalancerError {
    fn is_of_configuration(&self) -> bool {
        matches!(self, BalancerError::Config(_))
    }
}

pub async fn run(config: PathBuf) -> Result<(), BalancerError> {
    let mut shutdown = process::shutdown_on_signal()?;
    let role: BalancerRole = config::load(&config)?;
    let client = Client::new(process::identity(&role.tls)?);
    let listener = listen(role.listen).await?;
    let masters = role.masters.iter().map(|(name, address)| Target::new(name.clone(), address.as_str())).collect();
    let cancel = CancellationToken::new();
    let settings = Settings { tell_client: true, ..Settings::default() };
    let options = BalancerOptions { listener, masters, client, settings };
    let balancer = tokio::spawn(::balancer::run(options, cancel.clone()));
    let front = match role.ssh {
        Some(front) => Some(SshFront {
            listener: listen(front.listen).await?,
            register: Register::file(&front.register)?,
            instances: front.instances.into_iter().map(|(name, address)| (name, address.to_string())).collect(),
        }),
        None => None,
    };
    let front = front.map(|front| tokio::spawn(::balancer::ssh::run(front, cancel.clone())));
    process::asked(&mut shutdown).await;
    cancel.cancel();
    let _its_end_is_enough = balancer.await;
    if let Some(front) = front {
        let _its_end_is_enough = front.await;
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BalancerError> {
    let failed = |source| BalancerError::Listen { address: address.to_string(), source };
    TcpListener::bind(address).await.map_err(failed)
}
