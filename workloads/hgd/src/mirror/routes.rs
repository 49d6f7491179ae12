//! Routes of the HTTP front: the registry's public repositories that this mirror may show.

use std::sync::Arc;

use follower::Local;
use http_mirror::{Route, Routes};
use tokio::sync::watch;

/// Follows the registry and the lanes; makes new routes only when one of them differs.
pub fn watch(local: &Local) -> watch::Receiver<Arc<Routes>> {
    let (mut registry, table, repositories) = (local.registry(), local.table(), local.repositories());
    let mut lanes = table.watch();
    let (tell, told) = watch::channel(Arc::new(Routes::default()));
    tokio::spawn(async move {
        let mut before = Vec::new();
        loop {
            let now = registry.borrow_and_update().clone();
            lanes.mark_unchanged();
            let public = now.iter().filter(|repository| repository.is_public());
            let routes: Vec<Route> = public
                .filter_map(|repository| {
                    let lane = table.get(repository.id)?;
                    (lane.routable || lane.quarantined).then(|| Route {
                        repository: repository.id,
                        path: repository.path.clone(),
                        directory: repositories.join(repository.id.directory()),
                        description: repository.settings.description.clone(),
                        last_push: None,
                        quarantined: lane.quarantined,
                    })
                })
                .collect();
            if routes != before {
                tell.send_replace(Arc::new(routes.iter().cloned().collect()));
                before = routes;
            }
            let changed = tokio::select! {
                changed = registry.changed() => changed,
                changed = lanes.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    });
    told
}
