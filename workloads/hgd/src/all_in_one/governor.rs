//! Promotion without Kubernetes: looks at the register and at the SSH instances, and carries out what `failover`
//! decides. What the operator does on Kubernetes.

use std::time::Duration;

use failover::decide::Trouble;
use failover::driver::{Driver, LOOK, Telling, Watch};
use failover::{Memory, Missing, Observed, Policy, Step, Wish, decide};
use protocol::{Generation, InstanceName};
use register::{State, Version};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use transport::Target;

use super::children::Pids;
use super::outlook::{Look, Outlook};

const NO_MASTER: &str = "there is no master now: a promotion is under way";
const NOT_NEEDED: &str = "each SSH instance has its own volume here (storage.mode: PerInstance): a lost \
                          master is replaced without anybody's word, because a standby of the in-sync set is sealed \
                          first";

/// By then instances that run have answered.
const ANSWERS: Duration = Duration::from_secs(5);
/// A switchover that cannot be made is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asked by a person.
pub enum Asked {
    /// A switchover.
    Promote {
        /// None: to whichever standby is ready.
        to: Option<InstanceName>,
        answer: oneshot::Sender<Result<Switchover, String>>,
    },
    /// That the master be taken for off.
    Fence {
        /// False: it is only told what would be done.
        confirm: bool,
        answer: oneshot::Sender<Result<Fenced, String>>,
    },
}

/// Fenced: who is taken for off, or would be. The master of a generation, or, while the register is missing, whoever
/// does not answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fenced {
    pub master: Option<InstanceName>,
    pub generation: Generation,
    pub confirmed: bool,
}

/// Switchover, and what came of it.
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
    /// Outlook: what is told of a master that is not there.
    pub outlook: watch::Sender<Outlook>,
}

/// A register that is missing.
#[derive(Default)]
struct Lost {
    is_lost: bool,
    /// Why it is not made again.
    why: Option<Missing>,
    /// A person's word.
    word: bool,
    /// Unreadable: it is there, and cannot be read.
    unreadable: bool,
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
        let (mut telling, mut lost) = (Telling::default(), Lost::default());
        loop {
            if wished.is_none()
                && let Ok(asked) = asked.try_recv()
            {
                wished = self.accept(asked, started.elapsed(), &mut observed, &mut lost);
            }
            tokio::time::sleep(LOOK).await;
            observed.answers = watch.answers(started);
            self.observe(&mut observed, &mut lost).await;
            self.remake(started.elapsed(), &observed, &mut lost).await;
            wished = settle(wished, &observed);
            observed.wish = wished.as_ref().map(|wished| wished.wish.clone());
            let step = decide(started.elapsed(), &observed, &self.policy, &mut memory);
            wished = refuse(wished, &step);
            let (now, policy) = (started.elapsed(), &self.policy);
            let look = Look { now, observed: &observed, policy, step: &step, missing: lost.why.as_ref() };
            self.outlook.send_modify(|outlook| outlook.update(&look));
            telling.tell(now, &step);
            let drained = self.driver.act(&step, &self.instances).await.drained;
            if let Some(wished) = &mut wished {
                wished.wish.drained |= drained;
            }
        }
    }

    /// A register that is missing is made again as soon as it can be.
    async fn remake(&self, now: Duration, observed: &Observed, lost: &mut Lost) {
        if !lost.is_lost {
            *lost = Lost { unreadable: lost.unreadable, ..Lost::default() };
            return;
        }
        let known = failover::Lost {
            instances: &self.instances.iter().map(|instance| instance.name.clone()).collect(),
            answers: &observed.answers,
            told: Generation(0),
            shared: self.policy.shared.is_some(),
            word: lost.word,
        };
        match failover::remake(now, &known) {
            Ok(state) => {
                tracing::warn!(master = ?state.master, generation = %state.generation, "the register is made again");
                if let Err(error) = self.driver.register.write(&Version::None, state).await {
                    tracing::error!(%error, "the register was not made again; it is looked at again");
                }
            }
            // Instances need a moment to answer.
            Err(missing) if now >= ANSWERS && lost.why.as_ref() != Some(&missing) => {
                tracing::error!(%missing, "no master");
                lost.why = Some(missing);
            }
            Err(_) => {}
        }
    }

    fn accept(&self, asked: Asked, now: Duration, observed: &mut Observed, lost: &mut Lost) -> Option<Wished> {
        let (to, answer) = match asked {
            Asked::Promote { to, answer } => (to, answer),
            Asked::Fence { confirm, answer } => {
                let _gone = answer.send(self.fence(confirm, observed, lost));
                return None;
            }
        };
        match self.wish(to, now, observed) {
            Ok((to, from)) => Some(Wished { wish: Wish { to, drained: false }, from, since: Instant::now(), answer }),
            Err(why) => {
                let _gone = answer.send(Err(why.to_owned()));
                None
            }
        }
    }

    /// Wishes: who is to be master, and who is.
    fn wish(
        &self,
        to: Option<InstanceName>,
        now: Duration,
        observed: &Observed,
    ) -> Result<(InstanceName, InstanceName), &'static str> {
        let from = observed.register.as_ref().and_then(|register| register.value.master.clone()).ok_or(NO_MASTER)?;
        let to = to.or_else(|| observed.ready(now, self.policy.shared.is_some()).into_iter().next());
        Ok((to.ok_or("no standby is in sync: wait until one has caught up")?, from))
    }

    fn fence(&self, confirm: bool, observed: &mut Observed, lost: &mut Lost) -> Result<Fenced, String> {
        if lost.is_lost {
            lost.word = confirm;
            return Ok(Fenced { master: None, generation: Generation(0), confirmed: confirm });
        }
        if self.policy.shared.is_none() {
            return Err(NOT_NEEDED.to_owned());
        }
        let state = observed.register.as_ref().map(|register| &register.value);
        let (master, generation) = state.and_then(State::to_fence).ok_or(NO_MASTER)?;
        if confirm {
            tracing::warn!(%master, %generation, "a person says that the master is off");
            observed.fenced = Some(generation);
        }
        Ok(Fenced { master: Some(master), generation, confirmed: confirm })
    }

    async fn observe(&self, observed: &mut Observed, lost: &mut Lost) {
        let read = self.driver.register.read().await;
        lost.is_lost = matches!(read, Ok(None));
        let was_unreadable = std::mem::replace(&mut lost.unreadable, read.is_err());
        observed.register = read.unwrap_or_else(|error| {
            if !was_unreadable {
                tracing::error!(%error, "the register cannot be read: nobody can be promoted");
            }
            None
        });
        // After the register: one that ended and was started again since would have opened another generation.
        let ended = |instance: &&Target| self.pids.has_ended(instance.name.as_str());
        observed.ended = self.instances.iter().filter(ended).map(|instance| instance.name.clone()).collect();
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
    let Some(trouble @ (Trouble::NotInSync(_) | Trouble::Withdrawn)) = step.trouble() else { return wished };
    let _gone = wished?.answer.send(Err(trouble.to_string()));
    None
}
