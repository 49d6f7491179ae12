//! Held by an SSH instance, whatever its role: so much is told of repositories while there is no master.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use follower::{LaneRow, LaneTable, Local};
use interface::paths;
use protocol::status::{Held, InstanceStatus, PushStatus, RepositoryStatus, Role};
use protocol::stream::Progress;
use protocol::{Offset, Registry, Repository, RepositoryPath};
use tokio::sync::watch;

use super::own::Own;

struct Holder {
    own: Arc<Own>,
    registry: watch::Receiver<Arc<Registry>>,
    table: Arc<LaneTable>,
    progress: watch::Receiver<Option<Progress>>,
}

pub fn router(own: Arc<Own>, local: &Local) -> Router {
    let holder = Holder { own, registry: local.registry(), table: local.table(), progress: local.progress() };
    Router::new().route(paths::HELD, get(held)).with_state(Arc::new(holder))
}

async fn held(State(holder): State<Arc<Holder>>) -> Json<Held> {
    let report = holder.own.report();
    let applied = holder.progress.borrow().as_ref().map_or(Offset::ZERO, |progress| progress.applied_through);
    let registry = holder.registry.borrow().clone();
    let instance = InstanceStatus {
        name: report.name,
        role: report.role,
        pid: None,
        generation: report.generation,
        applied,
        in_sync: report.role == Role::Master,
        quarantined: quarantined(&registry, holder.progress.borrow().as_ref()),
    };
    // Only a master knows what is published.
    let repositories = registry.iter().map(|known| repository(&holder.table, known, Offset::ZERO)).collect();
    Json(Held { instance, repositories })
}

/// Lists what the one whose progress this is has set aside.
pub fn quarantined(registry: &Registry, progress: Option<&Progress>) -> Vec<RepositoryPath> {
    let lanes = progress.into_iter().flat_map(|progress| &progress.lanes).filter(|lane| lane.quarantined);
    lanes.filter_map(|lane| Some(registry.get(lane.repository)?.path.clone())).collect()
}

pub fn repository(table: &LaneTable, repository: &Repository, published: Offset) -> RepositoryStatus {
    let LaneRow { tip, heads, changesets, .. } = table.get(repository.id).unwrap_or_default();
    let (newest, path) = (repository.last, repository.path.clone());
    let pushed = repository.pushed.as_ref();
    let last_push =
        pushed.map(|pushed| PushStatus { id: repository.last_push, user: pushed.user.clone(), at: pushed.time });
    RepositoryStatus { path, tip, heads, changesets, published, newest, last_push }
}
