//! Where people push: each connection goes to whoever is master by the register, and waits while a promotion is under
//! way. It is told whose a connection is, in a first line (`protocol::proxy_line`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::InstanceName;
use register::Register;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{ACCEPT_PAUSE, DRAIN, prepare, relay, tell};

/// How long a client waits for a master.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);
/// How often each connection sees whether its master still is one.
const LOOK: Duration = Duration::from_secs(1);
const FAREWELL: Duration = Duration::from_secs(2);
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// Further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 2048;

pub struct SshFront {
    pub listener: TcpListener,
    pub register: Register,
    /// Where each SSH instance takes connections.
    pub instances: BTreeMap<InstanceName, String>,
}

/// Runs until `shutdown`, then lets connections end for ten seconds.
pub async fn run(front: SshFront, shutdown: CancellationToken) {
    let SshFront { listener, register, instances } = front;
    let to = Arc::new((register, instances));
    let connections = TaskTracker::new();
    shutdown.run_until_cancelled(accept(&listener, &to, &connections)).await;
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::info!(connections = connections.len(), "connections are cut off");
    }
}

type To = Arc<(Register, BTreeMap<InstanceName, String>)>;

async fn accept(listener: &TcpListener, to: &To, connections: &TaskTracker) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                let to = to.clone();
                connections.spawn(async move {
                    serve(&to, stream, from).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(to: &To, mut client: TcpStream, from: SocketAddr) {
    if let Err(error) = prepare(&client) {
        return tracing::debug!(%from, %error, "a client left at once");
    }
    let Ok((master, mut stream)) = timeout(PATIENCE, master(to)).await else {
        return tracing::warn!(%from, "no master for a client");
    };
    if let Err(error) = tell(&client, from, &mut stream).await {
        return tracing::warn!(%from, %master, %error, "the master ended a connection at once");
    }
    let ended = tokio::select! {
        ended = relay::relay(&mut client, &mut stream, || ()) => ended,
        () = replaced(to, &master) => return tracing::info!(%from, %master, "cut off: another is master"),
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %master, %error, "a connection ended");
    }
}

/// Until another is master, and this one has had time to say goodbye. One that hangs would keep its clients for ever.
async fn replaced(to: &To, master: &InstanceName) {
    loop {
        sleep(LOOK).await;
        if let Ok(Some(found)) = to.0.read().await
            && found.value.master.as_ref().is_some_and(|named| named != master)
        {
            return sleep(FAREWELL).await;
        }
    }
}

async fn master(to: &To) -> (InstanceName, TcpStream) {
    let (register, instances) = &**to;
    loop {
        let named = match register.read().await {
            Ok(found) => found.and_then(|found| found.value.master),
            Err(error) => {
                tracing::warn!(%error, "the register cannot be read");
                None
            }
        };
        if let Some(name) = named
            && let Some(address) = instances.get(&name)
            && let Ok(Ok(stream)) = timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await
        {
            let _best_effort = stream.set_nodelay(true);
            return (name, stream);
        }
        sleep(PAUSE).await;
    }
}
