//! Routes of the HTTP front: the registry's public repositories that this mirror may show.

use std::sync::Arc;

use follower::{LaneRow, Local};
use http_mirror::{Route, Routes};
use protocol::{Offset, Repository};
use tokio::sync::watch;

/// Follows the registry and the lanes; makes new routes only when one of them differs.
pub fn watch(local: &Local) -> watch::Receiver<Arc<Routes>> {
    let (mut registry, table, repositories) = (local.registry(), local.table(), local.repositories());
    let mut lanes = table.watch();
    let (tell, told) = watch::channel(Arc::new(Routes::default()));
    tokio::spawn(async move {
        let mut before = Vec::<Route>::new();
        loop {
            let now = registry.borrow_and_update().clone();
            lanes.mark_unchanged();
            let public = now.iter().filter(|repository| repository.is_public());
            let routes: Vec<Route> = public
                .filter_map(|repository| {
                    let lane = table.get(repository.id);
                    let shown_before = || before.iter().find(|route| route.repository == repository.id)?.last_push;
                    Some(Route {
                        repository: repository.id,
                        path: repository.path.clone(),
                        directory: repositories.join(repository.id.directory()),
                        description: repository.settings.description.clone(),
                        last_push: last_push(repository, lane.as_ref()).or_else(shown_before),
                        away: is_away(lane.as_ref())?,
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

/// Seconds since 1970, once the newest push is shown here.
fn last_push(repository: &Repository, lane: Option<&LaneRow>) -> Option<u64> {
    let pushed = repository.pushed.as_ref().filter(|_| lane.is_some_and(|lane| lane.shown >= repository.last));
    pushed.map(|pushed| pushed.time.seconds())
}

/// Whether a repository of the registry is not shown here now. None: as far as this mirror may know there is no such
/// repository yet, because its creation is not released.
fn is_away(lane: Option<&LaneRow>) -> Option<bool> {
    match lane {
        Some(lane) if lane.routable => Some(false),
        Some(lane) if lane.opened && !lane.quarantined && lane.shown == Offset::ZERO => None,
        // Its state is not read yet, it is fetched, repaired or stripped, or it is ahead of what is released.
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repository_whose_creation_is_not_released_does_not_exist() {
        let lane = |opened, routable, quarantined, shown| LaneRow {
            opened,
            routable,
            quarantined,
            shown: Offset(shown),
            ..LaneRow::default()
        };
        assert_eq!(is_away(None), Some(true), "after a start nothing is read yet");
        assert_eq!(is_away(Some(&lane(false, false, false, 0))), Some(true));
        assert_eq!(is_away(Some(&lane(true, true, false, 3))), Some(false));
        assert_eq!(is_away(Some(&lane(true, false, false, 3))), Some(true));
        assert_eq!(is_away(Some(&lane(true, false, true, 0))), Some(true));
        assert_eq!(is_away(Some(&lane(true, false, false, 0))), None);
    }
}
