//! How much of both logs is kept: for mirrors, standbys, and newcomers that were told where to start.

use follower::lanes::Checkpoint;
use log::Log;
use protocol::{InstanceName, Offset, PerLog};
use tokio::time::Instant;

use super::{NEWCOMER_HOLD, Newcomer, Publisher};
use crate::ssh::trim::Beginning;

impl Publisher {
    /// Where a newcomer starts.
    pub(super) fn snapshot(&mut self, name: InstanceName) -> Checkpoint {
        let through = self.publishing.through();
        let kept = self.options.logs.as_ref().zip(through).map(|(log, through)| log.hold(through.next()));
        // One that comes back without its disk before anybody missed it is not told again that it is active.
        let active = self.publishing.core.active().contains(&name);
        let newcomer = Newcomer { until: Instant::now() + NEWCOMER_HOLD, heard: false, _kept: kept };
        self.newcomers.insert(name, newcomer);
        Checkpoint {
            replication: through.replication,
            publication: through.publication,
            registry: self.publishing.registry().clone(),
            unreleased: self.publishing.core.unreleased(),
            active,
        }
    }

    /// Where a standby starts that needs what is not in the logs any more.
    pub(super) fn beginning(&self) -> Beginning {
        let registry = self.options.settled.registry().clone();
        let publication_start = self.options.logs.publication.positions().start;
        let starts = PerLog::new(registry.through().next(), publication_start);
        let before = |(log, start): (&Log, Offset)| log.view().generations.at(start.previous()).unwrap_or_default();
        let before = self.options.logs.as_ref().zip(starts).map(before);
        Beginning { registry, publication_start, before }
    }

    /// Everything that nobody active needs any more goes, segment by segment.
    pub(super) fn trim(&mut self) {
        let active = self.publishing.core.active();
        self.newcomers.retain(|name, newcomer| {
            let keeps_itself = newcomer.heard && active.contains(name);
            newcomer.until > Instant::now() && !keeps_itself
        });
        let own = self.options.progress.borrow();
        let standbys = self.options.peers.keys().map(|name| self.standbys.get(name));
        let checkpoints = [own.as_ref()].into_iter().chain(standbys);
        let checkpoints = checkpoints.map(|known| known.map_or(Offset::ZERO, |known| known.replication_checkpoint));
        let mut done = self.publishing.done_with(checkpoints);
        drop(own);
        match self.options.settled.advance(done.replication) {
            Ok(through) => done.replication = through,
            Err(error) => {
                tracing::error!(%error, "the log is kept whole, since its registry cannot be stored");
                return;
            }
        }
        for (_, (log, through)) in self.options.logs.as_ref().zip(done) {
            let log = log.clone();
            tokio::spawn(async move {
                if let Err(error) = log.retain(std::time::SystemTime::now(), through.next()).await {
                    tracing::warn!(log = ?log.name(), %error, "the log cannot be trimmed");
                }
            });
        }
    }
}
