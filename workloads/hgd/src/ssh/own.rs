//! Own word of an SSH instance, whatever its role, and what it is told: to seal itself, to look at the register.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use failover::{InstanceReport, LogEnd};
use follower::Heard;
use interface::paths;
use log::Log;
use protocol::status::Role;
use protocol::{DiskId, Generation, InstanceName, PerLog};
use register::Seal;
use serde::Deserialize;
use tokio::sync::{Notify, watch};

/// How often the register is read when nobody says that it has changed.
pub const REGISTER_LOOK: Duration = Duration::from_secs(1);

/// A reign as it is said to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leading {
    pub generation: Generation,
    /// Open: it takes pushes.
    pub open: bool,
}

pub struct Own {
    pub name: InstanceName,
    pub disk: DiskId,
    pub seal: Arc<Seal>,
    pub logs: PerLog<Log>,
    pub heard: watch::Sender<Option<Heard>>,
    pub leading: watch::Sender<Option<Leading>>,
    /// Why every push fails here, or would; None: the newest proof went well.
    pub unable: watch::Sender<Option<String>>,
    /// Somebody says that the register has changed.
    pub look: Notify,
}

#[derive(Deserialize)]
pub struct SealRequest {
    generation: Generation,
}

impl Own {
    pub fn report(&self) -> InstanceReport {
        let (leading, heard) = (*self.leading.borrow(), *self.heard.borrow());
        let end = |log: &Log| {
            let positions = log.positions();
            LogEnd { generation: positions.generation, offset: positions.end }
        };
        InstanceReport {
            name: self.name.clone(),
            disk: Some(self.disk.clone()),
            role: if leading.is_some() { Role::Master } else { Role::Standby },
            generation: match (leading, heard) {
                (Some(leading), _) => leading.generation,
                (None, Some(heard)) => heard.generation,
                (None, None) => Generation(0),
            },
            sealed: self.seal.certain(),
            replication: end(&self.logs.replication),
            publication: end(&self.logs.publication),
            heard: heard.filter(|_| leading.is_none()).map(|heard| milliseconds(heard.at.elapsed())),
            open: leading.is_some_and(|leading| leading.open),
            released: false,
            unable: self.unable.borrow().clone(),
        }
    }

    /// Until somebody says that the register has changed, or it is time to see for oneself.
    pub async fn next_look(&self) {
        let _either = tokio::time::timeout(REGISTER_LOOK, self.look.notified()).await;
    }
}

pub fn router(own: Arc<Own>) -> Router {
    Router::new()
        .route(paths::INSTANCE, get(instance))
        .route(paths::SEAL, post(seal))
        .route(paths::LOOK, post(look))
        .with_state(own)
}

async fn instance(State(own): State<Arc<Own>>) -> Json<InstanceReport> {
    Json(own.report())
}

/// Answers when the seal is on disk; the report then has everything that was ever acknowledged to an older generation.
async fn seal(State(own): State<Arc<Own>>, Json(SealRequest { generation }): Json<SealRequest>) -> Response {
    match own.seal.raise(generation).await {
        Ok(_) => {
            own.look.notify_one();
            tracing::warn!(%generation, "sealed: no older generation is followed any more");
            Json(own.report()).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "this instance cannot be sealed");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

async fn look(State(own): State<Arc<Own>>) -> Json<InstanceReport> {
    own.look.notify_one();
    Json(own.report())
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
