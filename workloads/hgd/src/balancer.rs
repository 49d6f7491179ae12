//! `hgd balancer`.

use std::path::PathBuf;

use ::balancer::{BalancerOptions, Settings};
use config::BalancerRole;
use tokio::net::TcpListener;
use transport::{CancellationToken, Client, Target};

use crate::process;

#[derive(Debug, thiserror::Error)]
pub enum BalancerError {
    #[error(transparent)]
    Config(#[from] config::LoadError),
    #[error(transparent)]
    Identity(#[from] transport::IdentityError),
    #[error("{address} cannot be listened on: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub async fn run(config: PathBuf) -> Result<(), BalancerError> {
    let mut shutdown = process::shutdown_on_signal()?;
    let role: BalancerRole = config::load(&config)?;
    let client = Client::new(process::identity(&role.tls)?);
    let address = role.listen.to_string();
    let listener = TcpListener::bind(role.listen).await.map_err(|source| BalancerError::Listen { address, source })?;
    let masters = role.masters.iter().map(|(name, address)| Target::new(name.clone(), address.as_str())).collect();
    let cancel = CancellationToken::new();
    let options = BalancerOptions { listener, masters, client, settings: Settings::default() };
    let balancer = tokio::spawn(::balancer::run(options, cancel.clone()));
    process::asked(&mut shutdown).await;
    cancel.cancel();
    let _its_end_is_enough = balancer.await;
    Ok(())
}
