//! Carries out what the keeper of the in-sync set decides, and learns when this reign is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::SshRole;
use failover::keeper::{MasterView, Outcome, Standby, Step};
use failover::{Keeper, Requirement};
use log::Log;
use protocol::{Generation, InstanceName, Offset, PerLog};
use register::{Register, State, Version, Versioned, WriteError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::own::Own;
use super::standbys::{StandbySeen, Standbys};
use super::tenure::{Tenure, boot_time};

/// Between two looks at what changes all the time.
const TICK: Duration = Duration::from_millis(100);
/// After a write of the register that failed.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Keep {
    pub register: Register,
    pub generation: Generation,
    pub logs: PerLog<Log>,
    pub standbys: watch::Receiver<Standbys>,
    pub requirement: watch::Sender<Requirement>,
    /// Inherited logs: what was in them when this reign began. Any of it may have been acknowledged in an earlier one.
    pub inherited: PerLog<Offset>,
    pub own: Arc<Own>,
    pub keeper: Keeper,
    /// Where all instances have one volume: renewed here.
    pub tenure: Option<Tenure>,
}

impl Keep {
    /// Ends when this reign is over; answers who is master instead, if anybody is.
    pub async fn run(mut self) -> Option<InstanceName> {
        let started = Instant::now();
        let mut next_look = Instant::now();
        let mut next_renewal = boot_time();
        let mut standbys = self.standbys.clone();
        loop {
            if let Some(tenure) = self.tenure.clone().filter(|_| next_renewal <= boot_time()) {
                next_renewal = self.renew(&tenure).await;
            }
            match self.keeper.decide(started.elapsed(), &self.seen()) {
                Step::Deposed => return self.keeper.known().value.master.clone(),
                Step::Require(_) => self.require().await,
                Step::Write(expected, state) => self.write(&expected, state).await,
                Step::Read => self.read().await,
                Step::Nothing => {
                    if next_look <= Instant::now() {
                        next_look = Instant::now() + super::own::REGISTER_LOOK;
                        self.read().await;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(TICK) => {}
                        () = self.own.look.notified() => next_look = Instant::now(),
                        // Its end comes with the end of the reign.
                        _ = standbys.changed() => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                }
            }
            let now = self.required();
            self.requirement.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
    }

    fn required(&self) -> Requirement {
        Requirement::of(&self.keeper, self.tenure.as_ref().map(|_| self.own.disk.clone()))
    }

    /// Writes what the register holds again: whoever would write something else finds another version. Answers when it
    /// is to be done again.
    async fn renew(&mut self, tenure: &Tenure) -> Duration {
        let (sent, Versioned { version, value }) = (boot_time(), self.keeper.known().clone());
        let outcome = self.register.write(&version, value.clone()).await;
        match &outcome {
            Ok(_) => tenure.renewed(sent),
            Err(error) => tracing::warn!(%error, "the register cannot be renewed"),
        }
        let next = tenure.next(sent, outcome.is_ok());
        self.keeper.wrote(value, outcome.map_err(|error| failure(&error)));
        next
    }

    fn seen(&self) -> MasterView {
        let current = self.standbys.borrow();
        let standbys = current.iter().map(|(name, standby)| {
            let StandbySeen { disk, stored, leaving, .. } = standby.clone();
            (name.clone(), Standby { disk, stored, leaving })
        });
        let positions = self.logs.as_ref().map(Log::positions);
        let (ends, committed) = (positions.map(|log| log.end), positions.map(|log| log.committed));
        MasterView::new(standbys.collect::<BTreeMap<_, _>>(), ends, committed, self.inherited)
    }

    /// First everybody counts by the new rule, then what was said before is counted by it.
    async fn require(&mut self) {
        let now = self.required();
        let disks = now.disks();
        self.requirement.send_replace(now.clone());
        for (_, log) in self.logs.as_ref() {
            if let Err(error) = log.set_in_sync(self.generation, disks.clone()).await {
                tracing::warn!(log = ?log.name(), %error, "the in-sync set cannot be set");
            }
        }
        let standbys = self.standbys.borrow().clone();
        for (name, standby) in standbys.into_iter().filter(|(name, standby)| now.counts(name, &standby.disk)) {
            for (_, (log, through)) in self.logs.as_ref().zip(standby.stored) {
                log.acknowledge(self.generation, standby.disk.clone(), through).await;
            }
            tracing::info!(standby = %name, "counts for commits");
        }
        tracing::info!(members = ?now.members.keys().collect::<Vec<_>>(), "commits need these standbys");
    }

    async fn write(&mut self, expected: &Version, state: State) {
        let outcome = match self.register.write(expected, state.clone()).await {
            Ok(version) => {
                let members: Vec<&str> = state.in_sync.iter().map(InstanceName::as_str).collect();
                tracing::warn!(in_sync = members.join(","), "the register has the in-sync set");
                Ok(version)
            }
            Err(error) => {
                tracing::warn!(%error, "the in-sync set cannot be written");
                tokio::time::sleep(PAUSE).await;
                Err(failure(&error))
            }
        };
        self.keeper.wrote(state, outcome);
    }

    /// While it cannot be read, this reign goes on: pushes need the standbys, not the register.
    async fn read(&mut self) {
        match self.register.read().await {
            Ok(Some(found)) => self.keeper.read(found),
            Ok(None) => {
                tracing::error!("the register is gone: nothing can be changed until it is there again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the register cannot be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn failure(error: &WriteError) -> Outcome {
    match error {
        WriteError::Conflict { .. } => Outcome::Conflict,
        WriteError::Unknown { .. } => Outcome::Unknown,
        WriteError::Read(_) | WriteError::Io { .. } | WriteError::Missing(_) | WriteError::Refused { .. } => {
            Outcome::Refused
        }
    }
}

/// Keeper by what the register says before anything is decided. A volume that all instances have needs no standby to
/// be strict.
pub fn keeper(role: &SshRole, opened: Versioned<State>) -> Keeper {
    let strict = role.log.durability == config::Durability::Strict && role.shared.is_none();
    Keeper::new(role.name.clone(), opened, strict)
}
