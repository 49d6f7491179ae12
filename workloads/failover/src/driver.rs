//! Carries out the steps of a promotion: asks instances, writes the register. Used by the operator and by all-in-one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use interface::paths;
use protocol::{Generation, InstanceName};
use register::{Register, State, Version};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use transport::{Client, Target};

use crate::Step;
use crate::decide::Trouble;
use crate::report::{Drained, InstanceReport};

/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(100);
/// An instance that has not answered by then is not there.
const ANSWER: Duration = Duration::from_millis(800);
/// Lasts longer than what mends itself: a human must act.
const LASTS: Duration = Duration::from_secs(30);
/// For the answer to a drain, which waits for pushes.
const DRAIN: Duration = Duration::from_secs(4);

#[derive(Clone)]
pub struct Driver {
    pub register: Register,
    pub client: Client,
}

/// Acted: what became of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acted {
    /// The master takes no more pushes, and all that it took are final.
    pub drained: bool,
    /// The register holds what was to be written.
    pub written: bool,
}

/// Asks instances all the time, each by itself, so that one that hangs keeps nobody from seeing the others.
pub struct Watch {
    instances: Vec<Target>,
    answers: Arc<Mutex<Answers>>,
    _asking: JoinSet<()>,
}

type Answers = BTreeMap<InstanceName, (Instant, InstanceReport)>;

impl Watch {
    /// Until it is dropped.
    pub fn start(client: &Client, instances: Vec<Target>) -> Watch {
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let mut asking = JoinSet::new();
        for instance in instances.iter().cloned() {
            asking.spawn(ask(client.clone(), instance, answers.clone()));
        }
        Watch { instances, answers, _asking: asking }
    }

    pub fn instances(&self) -> &[Target] {
        &self.instances
    }

    /// The last answer of each; times are since `started`.
    pub fn answers(&self, started: Instant) -> BTreeMap<InstanceName, (Duration, InstanceReport)> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |(name, (at, report)): (&InstanceName, &(Instant, InstanceReport))| {
            (name.clone(), (at.saturating_duration_since(started), report.clone()))
        };
        answers.iter().map(since).collect()
    }
}

async fn ask(client: Client, instance: Target, answers: Arc<Mutex<Answers>>) {
    loop {
        let asked = client.get_json::<InstanceReport>(&instance, paths::INSTANCE);
        match timeout(ANSWER, asked).await {
            Ok(Ok(report)) => {
                let answer = (Instant::now(), report);
                answers.lock().unwrap_or_else(PoisonError::into_inner).insert(instance.name.clone(), answer);
            }
            Ok(Err(error)) => tracing::debug!(instance = %instance.name, %error, "no answer"),
            Err(_) => tracing::debug!(instance = %instance.name, "no answer in time"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Driver {
    pub async fn act(&self, step: &Step, instances: &[Target]) -> Acted {
        match step {
            Step::Nothing | Step::Wait(_) => Acted::default(),
            Step::Drain(master) => Acted { drained: self.drain(master, instances).await, written: false },
            Step::Freeze { expected, state, why } => {
                self.write(expected, state.clone().begun(why.to_string(), milliseconds()), instances).await
            }
            Step::Name { expected, state, proof } => {
                self.write(expected, state.clone().made(proof.to_string(), milliseconds()), instances).await
            }
            Step::Withdraw { expected, state } => self.write(expected, state.clone(), instances).await,
            Step::Seal { generation, members, .. } => {
                self.seal(*generation, members, instances).await;
                Acted::default()
            }
        }
    }

    /// Everybody is told to look, so that nobody waits for his next look.
    async fn write(&self, expected: &Version, state: State, instances: &[Target]) -> Acted {
        if let Err(error) = self.register.write(expected, state).await {
            tracing::warn!(%error, "the register was not written; it is looked at again");
            return Acted::default();
        }
        for instance in instances {
            let (client, instance) = (self.client.clone(), instance.clone());
            tokio::spawn(async move {
                // Who does not hear it looks for himself.
                let told = client.post_json::<InstanceReport>(&instance, paths::LOOK, &());
                let _not_heard = timeout(ANSWER, told).await;
            });
        }
        Acted { written: true, drained: false }
    }

    async fn seal(&self, generation: Generation, members: &BTreeSet<InstanceName>, instances: &[Target]) {
        let body = BTreeMap::from([("generation", generation)]);
        let asked = instances.iter().filter(|instance| members.contains(&instance.name));
        join_all(asked.map(|instance| async {
            let sealed = self.client.post_json::<InstanceReport>(instance, paths::SEAL, &body);
            match timeout(ANSWER, sealed).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(instance = %instance.name, %error, "not sealed"),
                Err(_) => tracing::warn!(instance = %instance.name, "not sealed in time"),
            }
        }))
        .await;
    }

    async fn drain(&self, master: &InstanceName, instances: &[Target]) -> bool {
        let Some(target) = instances.iter().find(|instance| instance.name == *master) else { return false };
        let drained = self.client.post_json::<Drained>(target, paths::DRAIN, &());
        match timeout(DRAIN, drained).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the master has not drained");
                false
            }
            Err(_) => false,
        }
    }
}

/// Since 1970.
fn milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Telling of steps: one line for each, when it is another than before. What is in the way is a warning, and an error
/// once it has lasted.
#[derive(Debug, Default)]
pub struct Telling {
    said: Option<Step>,
    /// Trouble that is in the way, since when, and whether that was called an error.
    trouble: Option<(Trouble, Duration, bool)>,
}

impl Telling {
    /// True: the step is another than before.
    pub fn tell(&mut self, now: Duration, step: &Step) -> bool {
        if let Some(trouble) = self.lasts(now, step) {
            tracing::error!(%trouble, seconds = LASTS.as_secs(), "no promotion, and that does not mend itself");
        }
        let is_new = self.said.as_ref() != Some(step);
        if is_new {
            tell(step);
            self.said = Some(step.clone());
        }
        is_new
    }

    /// Lasts: answers what is in the way for [`LASTS`] now, once.
    fn lasts(&mut self, now: Duration, step: &Step) -> Option<Trouble> {
        let Some(trouble) = step.trouble() else {
            self.trouble = None;
            return None;
        };
        let known = self.trouble.take().filter(|(known, ..)| known == trouble);
        let (trouble, since, told) = known.unwrap_or_else(|| (trouble.clone(), now, false));
        let lasts = !told && now.saturating_sub(since) >= LASTS;
        self.trouble = Some((trouble.clone(), since, told || lasts));
        lasts.then_some(trouble)
    }
}

fn tell(step: &Step) {
    match step {
        Step::Nothing => {}
        Step::Wait(trouble) => tracing::warn!(%trouble, "no promotion"),
        Step::Drain(master) => tracing::warn!(%master, "switchover: the master is asked to drain"),
        Step::Freeze { state, why, .. } => {
            tracing::warn!(generation = %state.generation, %why, "promotion: the register is frozen");
        }
        Step::Seal { generation, members, trouble: None } => {
            tracing::warn!(%generation, ?members, "promotion: sealing");
        }
        Step::Seal { trouble: Some(trouble), .. } => tracing::warn!(%trouble, "promotion: sealing"),
        Step::Name { state, proof, .. } => {
            tracing::warn!(master = ?state.master, %proof, in_sync = ?state.in_sync, "promotion: a master is named");
        }
        Step::Withdraw { state, .. } => {
            tracing::warn!(master = ?state.master, "promotion withdrawn: nobody could be sealed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_an_error_once_when_it_has_lasted() {
        let (mut telling, waits) = (Telling::default(), |trouble| Step::Wait(trouble));
        let mut at = |seconds, step: &Step| telling.lasts(Duration::from_secs(seconds), step).is_some();
        assert!(!at(0, &waits(Trouble::Blind)));
        assert!(!at(29, &waits(Trouble::Blind)));
        assert!(at(30, &waits(Trouble::Blind)));
        assert!(!at(31, &waits(Trouble::Blind)), "once");
        assert!(!at(32, &waits(Trouble::Partition)));
        assert!(!at(50, &Step::Nothing));
        assert!(!at(61, &waits(Trouble::Partition)), "it began anew");
        assert!(!at(90, &waits(Trouble::Partition)));
        assert!(at(91, &waits(Trouble::Partition)));
    }
}
