//! Promotion without Kubernetes: looks at the register and at the SSH instances, and carries out what `failover`
//! decides. What the operator does on Kubernetes.

use std::time::Duration;

use failover::decide::Trouble;
use failover::driver::{self, Driver, LOOK, Watch};
use failover::{Memory, Observed, Policy, Step, Wish, decide};
use protocol::{Generation, InstanceName};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use transport::Target;

use super::children::Pids;

/// A switchover that cannot be made is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A person asks for a switchover.
pub struct Asked {
    /// None: to whichever standby is ready.
    pub to: Option<InstanceName>,
    pub answer: oneshot::Sender<Result<Switchover, String>>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switchover {
    pub from: InstanceName,
    pub to: InstanceName,
    pub generation: Generation,
    pub seconds: f64,
}

pub struct Governor {
    pub driver: Driver,
    pub instances: Vec<Target>,
    pub pids: Pids,
    pub policy: Policy,
}

struct Wished {
    wish: Wish,
    from: InstanceName,
    since: Instant,
    answer: oneshot::Sender<Result<Switchover, String>>,
}

impl Governor {
    /// Until it is dropped.
    pub async fn run(self, mut asked: mpsc::Receiver<Asked>) {
        let (started, watch) = (Instant::now(), Watch::start(&self.driver.client, self.instances.clone()));
        let (mut observed, mut memory) = (Observed::default(), Memory::default());
        let mut wished: Option<Wished> = None;
        let mut said = None;
        loop {
            if wished.is_none()
                && let Ok(asked) = asked.try_recv()
            {
                wished = self.accept(asked, &observed);
            }
            tokio::time::sleep(LOOK).await;
            observed.answers = watch.answers(started);
            self.observe(&mut observed).await;
            wished = settle(wished, &observed);
            observed.wish = wished.as_ref().map(|wished| wished.wish.clone());
            let step = decide(started.elapsed(), &observed, &self.policy, &mut memory);
            wished = refuse(wished, &step);
            if said.as_ref() != Some(&step) {
                driver::tell(&step);
                said = Some(step.clone());
            }
            let drained = self.driver.act(&step, &self.instances).await.drained;
            if let Some(wished) = &mut wished {
                wished.wish.drained |= drained;
            }
        }
    }

    fn accept(&self, asked: Asked, observed: &Observed) -> Option<Wished> {
        let state = observed.register.as_ref().map(|register| &register.value);
        let Some((state, from)) = state.and_then(|state| Some((state, state.master.clone()?))) else {
            let _gone = asked.answer.send(Err("there is no master now: a promotion is under way".to_owned()));
            return None;
        };
        let Some(to) = asked.to.or_else(|| state.in_sync.first().cloned()) else {
            let _gone = asked.answer.send(Err("no standby is in sync: wait until one has caught up".to_owned()));
            return None;
        };
        Some(Wished { wish: Wish { to, drained: false }, from, since: Instant::now(), answer: asked.answer })
    }

    async fn observe(&self, observed: &mut Observed) {
        let ended = |instance: &&Target| self.pids.has_ended(instance.name.as_str());
        observed.ended = self.instances.iter().filter(ended).map(|instance| instance.name.clone()).collect();
        observed.register = match self.driver.register.read().await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the register cannot be read: nobody can be promoted");
                None
            }
        };
    }
}

/// Answers whoever asked, when it is done or given up.
fn settle(wished: Option<Wished>, observed: &Observed) -> Option<Wished> {
    let wished = wished?;
    let state = observed.register.as_ref().map(|register| &register.value);
    let named = state.filter(|state| state.master.as_ref() == Some(&wished.wish.to));
    let open = observed.answers.get(&wished.wish.to).map(|(_, report)| report).filter(|report| report.open);
    let outcome = match (named, open) {
        (Some(_), Some(report)) => Ok(Switchover {
            from: wished.from.clone(),
            to: wished.wish.to.clone(),
            generation: report.generation,
            seconds: wished.since.elapsed().as_secs_f64(),
        }),
        _ if wished.since.elapsed() > PATIENCE => Err(format!(
            "{} could not be made master within {} s: see the supervisor's log",
            wished.wish.to,
            PATIENCE.as_secs()
        )),
        _ => return Some(wished),
    };
    let _gone = wished.answer.send(outcome);
    None
}

/// One who cannot be promoted is not waited for.
fn refuse(wished: Option<Wished>, step: &Step) -> Option<Wished> {
    let Step::Wait(trouble @ Trouble::NotInSync(_)) = step else { return wished };
    let _gone = wished?.answer.send(Err(trouble.to_string()));
    None
}
