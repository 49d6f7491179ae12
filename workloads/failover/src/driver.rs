//! Carries out the steps of a promotion: asks instances, writes the register. Used by the operator and by all-in-one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use protocol::{Generation, InstanceName};
use register::{Register, State, Version};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use transport::{Client, Target};

use crate::Step;
use crate::report::{Drained, InstanceReport};

/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(100);
/// An instance that has not answered by then is not there.
const ANSWER: Duration = Duration::from_millis(800);
/// For the answer to a drain, which waits for pushes.
const DRAIN: Duration = Duration::from_secs(4);

#[derive(Clone)]
pub struct Driver {
    pub register: Register,
    pub client: Client,
}

/// What became of a step.
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
        let asked = client.get_json::<InstanceReport>(&instance, "/v1/instance");
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
            Step::Freeze { expected, state, .. }
            | Step::Name { expected, state, .. }
            | Step::Withdraw { expected, state } => {
                Acted { written: self.write(expected, state.clone(), instances).await, drained: false }
            }
            Step::Seal { generation, members } => {
                self.seal(*generation, members, instances).await;
                Acted::default()
            }
        }
    }

    /// Everybody is told to look, so that nobody waits for his next look.
    async fn write(&self, expected: &Version, state: State, instances: &[Target]) -> bool {
        if let Err(error) = self.register.write(expected, state).await {
            tracing::warn!(%error, "the register was not written; it is looked at again");
            return false;
        }
        for instance in instances {
            let (client, instance) = (self.client.clone(), instance.clone());
            tokio::spawn(async move {
                // Who does not hear it looks for himself.
                let told = client.post_json::<InstanceReport>(&instance, "/v1/look", &());
                let _not_heard = timeout(ANSWER, told).await;
            });
        }
        true
    }

    async fn seal(&self, generation: Generation, members: &BTreeSet<InstanceName>, instances: &[Target]) {
        let body = BTreeMap::from([("generation", generation)]);
        let asked = instances.iter().filter(|instance| members.contains(&instance.name));
        join_all(asked.map(|instance| async {
            let sealed = self.client.post_json::<InstanceReport>(instance, "/v1/seal", &body);
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
        let drained = self.client.post_json::<Drained>(target, "/v1/drain", &());
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

/// One line for each step, when it is another than before.
pub fn tell(step: &Step) {
    match step {
        Step::Nothing => {}
        Step::Wait(trouble) => tracing::error!(%trouble, "no promotion"),
        Step::Drain(master) => tracing::warn!(%master, "switchover: the master is asked to drain"),
        Step::Freeze { state, why, .. } => {
            tracing::warn!(generation = %state.generation, %why, "promotion: the register is frozen");
        }
        Step::Seal { generation, members } => tracing::warn!(%generation, ?members, "promotion: sealing"),
        Step::Name { state, proof, .. } => {
            tracing::warn!(master = ?state.master, %proof, in_sync = ?state.in_sync, "promotion: a master is named");
        }
        Step::Withdraw { state, .. } => {
            tracing::error!(master = ?state.master, "promotion withdrawn: nobody could be sealed");
        }
    }
}
