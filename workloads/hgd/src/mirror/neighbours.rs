//! Neighbours that have the repositories, too: asked of the master every few seconds.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use interface::{PeerAddress, paths};
use protocol::InstanceName;
use tokio::sync::watch;
use tokio::time::interval;
use transport::{Client, Target};

const INTERVAL: Duration = Duration::from_secs(2);

pub struct Neighbours {
    /// Public addresses of the other active mirrors.
    pub urls: watch::Receiver<Arc<Vec<Uri>>>,
    /// Sources that may have blobs and repositories: the other mirrors, then standbys, then the master.
    pub sources: watch::Receiver<Vec<Target>>,
}

pub fn watch(
    client: Client,
    mut master: watch::Receiver<Option<Target>>,
    masters: Vec<Target>,
    own: InstanceName,
) -> Neighbours {
    let (tell_urls, urls) = watch::channel(Arc::new(Vec::new()));
    let (tell_sources, sources) = watch::channel(masters);
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = master.changed() => if changed.is_err() { return },
            }
            let Some(master) = master.borrow_and_update().clone() else { continue };
            let peers = match client.get_json::<Vec<PeerAddress>>(&master, paths::PEERS).await {
                Ok(peers) => peers,
                Err(error) => {
                    tracing::debug!(%error, "the master does not name peers now");
                    continue;
                }
            };
            let others: Vec<PeerAddress> = peers.into_iter().filter(|peer| peer.name != own).collect();
            let urls = others.iter().filter_map(|peer| peer.url.as_ref()?.parse().ok()).collect();
            tell_urls.send_replace(Arc::new(urls));
            let targets = others.into_iter().map(|peer| Target::new(peer.name, peer.address));
            tell_sources.send_replace(targets.chain([master]).collect());
        }
    });
    Neighbours { urls, sources }
}
