//! Looks at one repository after the other, for as long as the instance runs: whether what is stored is whole, and
//! whether it shows what the master shows. What differs is set aside and fetched again; a peer serves it meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mercurial::{ContentHashes, Integrity, LaneError, LaneErrorKind, LanePool};
use protocol::{CreationId, Registry};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use transport::{Client, Target};

use crate::driver::Input;
use crate::local::Local;
use crate::table::LaneTable;

/// Between two repositories at least.
const PAUSE: Duration = Duration::from_secs(1);
/// Pauses are this many times as long as the look before them, so that looking takes a twentieth of one processor.
const REST: u32 = 19;
/// A repository that is still wrong when it has been fetched is not fetched again before this: others have it wrong
/// too.
const AGAIN: Duration = Duration::from_secs(600);

pub struct Verification {
    /// Pool of its own: the lanes must not wait for it.
    pool: LanePool,
    repositories: PathBuf,
    table: Arc<LaneTable>,
    registry: watch::Receiver<Arc<Registry>>,
    client: Client,
    master: watch::Receiver<Option<Target>>,
    lanes: mpsc::Sender<Input>,
    fetched: BTreeMap<CreationId, Instant>,
}

enum Verdict {
    Right,
    Wrong(String),
    /// Unknown: it changes just now, or the master is away. Looked at in the next round.
    Unknown,
}

impl Verification {
    pub fn new(local: &Local, client: Client, master: watch::Receiver<Option<Target>>) -> Verification {
        Verification {
            pool: LanePool::new(local.mercurial().clone(), 1),
            repositories: local.repositories(),
            table: local.table(),
            registry: local.registry(),
            client,
            master,
            lanes: local.inputs().replication,
            fetched: BTreeMap::new(),
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            sleep(PAUSE).await;
            let ids: Vec<CreationId> = self.registry.borrow().iter().map(|repository| repository.id).collect();
            for id in ids {
                let started = Instant::now();
                match self.look(id).await {
                    Verdict::Right => _ = self.fetched.remove(&id),
                    Verdict::Wrong(why) => self.mend(id, &why).await,
                    Verdict::Unknown => {}
                }
                sleep(PAUSE.max(started.elapsed() * REST)).await;
            }
        }
    }

    async fn look(&self, id: CreationId) -> Verdict {
        if !self.follows(id) {
            return Verdict::Unknown;
        }
        match self.compare(id).await {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::Unknown,
            // What is found while it is being fetched or removed means nothing.
            Err(why) if self.follows(id) => Verdict::Wrong(why),
            Err(_) => Verdict::Unknown,
        }
    }

    /// False: it cannot be told now; an error says what is wrong.
    async fn compare(&self, id: CreationId) -> Result<bool, String> {
        let directory = self.repositories.join(id.directory());
        match self.pool.integrity(&directory).await {
            Ok(Integrity { damage: Some(damage) }) => return Err(damage),
            Ok(Integrity { damage: None }) => {}
            Err(error) => return cured(error),
        }
        let ours = match self.pool.hash(&directory, None).await {
            Ok(ours) => ours,
            Err(error) => return cured(error),
        };
        let Some(theirs) = self.master_has(id, &ours).await else { return Ok(false) };
        if ours == theirs { Ok(true) } else { Err(format!("at record {} it is not what the master has", ours.at)) }
    }

    /// The lane is neither fetching it nor about to remove it.
    fn follows(&self, id: CreationId) -> bool {
        self.table.get(id).is_some_and(|lane| lane.routable && !lane.quarantined)
    }

    async fn master_has(&self, id: CreationId, ours: &ContentHashes) -> Option<ContentHashes> {
        let master = self.master.borrow().clone()?;
        let url = format!("/v1/repositories/{id}/hash?at={}", ours.at);
        match self.client.get_json(&master, &url).await {
            Ok(hashes) => Some(hashes),
            Err(error) => {
                tracing::debug!(repository = %id, %error, "the master has moved on, or is away");
                None
            }
        }
    }

    async fn mend(&mut self, id: CreationId, why: &str) {
        if self.fetched.get(&id).is_some_and(|at| at.elapsed() < AGAIN) {
            tracing::error!(repository = %id, why, "the repository is still wrong after it was fetched from a peer");
            return;
        }
        tracing::warn!(repository = %id, why, "the repository is wrong here and is fetched from a peer");
        self.fetched.insert(id, Instant::now());
        let _lanes_gone_is_the_end = self.lanes.send(Input::Resync(id)).await;
    }
}

/// An error that a new copy mends is what is wrong; others say nothing.
fn cured(error: LaneError) -> Result<bool, String> {
    match error.kind {
        LaneErrorKind::Corrupt | LaneErrorKind::Missing => Err(error.message),
        LaneErrorKind::Locked | LaneErrorKind::Full | LaneErrorKind::Invalid | LaneErrorKind::Worker => Ok(false),
    }
}
