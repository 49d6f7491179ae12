//! A promotion, step by step. Whoever decides may be one of several, and may stop at any step: all that the next one
//! needs stands in the register, and every write of it is conditional.

pub mod backoff;
mod relief;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::status::Role;
use protocol::{Generation, InstanceName};
use register::{State, Version, Versioned};

use self::backoff::Backoff;
use crate::{InstanceReport, LogEnd, Renewals};

/// An answer that is older says nothing about now.
const FRESH: Duration = Duration::from_secs(1);
/// After one member is sealed, how long the others are waited for: one of them may be further.
const SEALING: Duration = Duration::from_millis(500);
/// How long a promotion that can seal nobody goes on before the old master is named again.
const HOPELESS: Duration = Duration::from_secs(5);
/// How long a named master may take to open before another member is tried.
const OPENING: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enabled: bool,
    /// The master is silent for everybody this long before it is suspected.
    pub detection: Duration,
    /// For how long a promotion on a weak word (silence, see [`backoff`]) makes the next one wait. What is seen to
    /// have ended is replaced at once, however often.
    pub min_interval: Duration,
    /// Some: all instances have one volume. A lease that was not renewed for this long has run out.
    pub shared: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            enabled: true,
            detection: Duration::from_secs(3),
            min_interval: Duration::from_secs(60),
            shared: None,
        }
    }
}

/// A person's word, or a rollout's: this instance is to be master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub to: InstanceName,
    /// The living master has answered that it takes no more pushes, and all that it took is final.
    pub drained: bool,
}

/// One look at everything.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// None: it cannot be read now.
    pub register: Option<Versioned<State>>,
    /// The last answer of each instance, and when it came.
    pub answers: BTreeMap<InstanceName, (Duration, InstanceReport)>,
    /// Instances whose process is seen to have ended, and does not run again.
    pub ended: BTreeSet<InstanceName>,
    /// Where all instances have one volume: whoever was master last, if it is said to be gone. Nobody has seen it end.
    pub gone: Option<InstanceName>,
    pub wish: Option<Wish>,
    /// A person's word: whoever was master of this generation is off, and writes nothing more.
    pub fenced: Option<Generation>,
}

impl Observed {
    /// Answers what it says now. The last word of one that has ended since is not that.
    pub fn answer(&self, now: Duration, name: &InstanceName) -> Option<&InstanceReport> {
        let (at, report) = self.answers.get(name)?;
        (is_fresh(now, *at) && !self.ended.contains(name)).then_some(report)
    }

    /// Answers, by name, who could take over in order: of those that answer, with volumes of their own who is in the
    /// in-sync set, with one for all who has let go of it and is not master.
    pub fn ready(&self, now: Duration, shared: bool) -> Vec<InstanceName> {
        let Some(Versioned { value: state, .. }) = &self.register else { return Vec::new() };
        let is_ready = |name: &&InstanceName| match self.answer(now, name) {
            Some(report) if shared => report.released && state.master.as_ref() != Some(*name),
            Some(_) => state.in_sync.contains(*name),
            None => false,
        };
        self.answers.keys().filter(is_ready).cloned().collect()
    }

    fn nobody_answers(&self, now: Duration) -> bool {
        !self.answers.values().any(|(at, _)| is_fresh(now, *at))
    }
}

pub(crate) fn is_fresh(now: Duration, at: Duration) -> bool {
    now.saturating_sub(at) < FRESH
}

/// Memory of the one who decides. A new one remembers nothing, which only makes it wait longer.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Holding: what the register held, and since when this one has seen that.
    holding: Option<(State, Duration)>,
    /// Promotions that were begun on a weak word, whoever has begun them.
    backoff: Backoff,
    /// When a promotion was seen to be withdrawn.
    withdrawn: Option<Duration>,
    /// A master that lives renews the register.
    renewals: Renewals,
    /// With which proof this one has frozen a register, by the generation that it has since.
    proven: Option<(Generation, Proof)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// The same as nothing, with the sentence of the condition.
    Wait(Trouble),
    /// Ask the master to take no more pushes, and to answer when all it took is final.
    Drain(InstanceName),
    Freeze {
        expected: Version,
        state: State,
        why: Reason,
    },
    /// Ask each of them to refuse every generation below this one.
    Seal {
        generation: Generation,
        members: BTreeSet<InstanceName>,
        /// They were asked in vain for a while, and there is nobody else.
        trouble: Option<Trouble>,
    },
    Name {
        expected: Version,
        state: State,
        proof: Proof,
    },
    /// Nobody can be sealed: the old master is named again.
    Withdraw {
        expected: Version,
        state: State,
    },
}

impl Step {
    /// Answers what is in the way, for the condition.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Step::Wait(trouble) => Some(trouble),
            Step::Seal { trouble, .. } => trouble.as_ref(),
            Step::Nothing | Step::Drain(_) | Step::Freeze { .. } | Step::Name { .. } | Step::Withdraw { .. } => None,
        }
    }
}

/// Why the old master can acknowledge nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A member of the in-sync set has sealed itself.
    Sealed(InstanceName),
    /// The instance itself answers that it has let go of the volume.
    Released(InstanceName),
    /// Ended: the process is seen to have.
    Ended(InstanceName),
    /// Gone: the pod is said to be, and the lease has run out.
    Gone(InstanceName),
    /// A person says so, and its lease has run out.
    Word(InstanceName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Silent,
    Ended,
    Gone,
    /// A person says that it is off.
    Fenced,
    /// Emptied: it answers with another disk than the register means.
    Emptied,
    /// Not opened: it was named and did not open.
    NotOpened,
    /// Unable: it says itself that every push fails on it.
    Unable,
    Asked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// One of the two paths to the master is cut.
    Partition,
    /// The one who decides hears nobody: it may be cut off itself.
    Blind,
    /// The master is gone, and nobody in the in-sync set can be promoted.
    NobodyInSync,
    /// The master is silent or unable, and so was one a short while ago: it is waited for this long.
    TooSoon(Duration),
    /// Pushes fail on the master, and no standby could do better.
    NobodyAble,
    Disabled,
    /// The one who is wished for is not in the in-sync set.
    NotInSync(InstanceName),
    /// No in-sync member answers a seal.
    Sealing,
    /// A promotion could seal nobody, and was withdrawn a short while ago.
    Withdrawn,
    /// The volume is everybody's, and the master may still write to it.
    Unproven(InstanceName),
    /// The master is said to be off or gone, and its lease has been renewed a short while ago.
    LeaseRuns(InstanceName),
    /// The volume is everybody's, and nobody is there to open it.
    NobodyAnswers,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Proof::Sealed(name) => write!(f, "{name} is sealed"),
            Proof::Released(name) => write!(f, "{name} has let go of the volume"),
            Proof::Ended(name) => write!(f, "the process of {name} has ended"),
            Proof::Gone(name) => write!(f, "the pod of {name} is gone, and its lease has run out"),
            Proof::Word(name) => write!(f, "a person's word that {name} is off"),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::Silent => "the master is silent",
            Reason::Ended => "the master's process has ended",
            Reason::Gone => "the master's pod is gone",
            Reason::Fenced => "a person says that the master is off",
            Reason::Emptied => "the master has come back with another disk",
            Reason::NotOpened => "the master that was named has not opened",
            Reason::Unable => "pushes fail on the master",
            Reason::Asked => "a switchover was asked for",
        })
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Partition => f.write_str("the master is heard on one of two paths only: nothing is done"),
            Trouble::Blind => {
                f.write_str("no instance can be reached, neither the master nor another: nothing is done")
            }
            Trouble::NobodyInSync => f.write_str(
                "the master is gone, and no standby of the in-sync set answers with the disk that the register means: \
                 bring one of them back, or the master",
            ),
            Trouble::TooSoon(patience) => write!(
                f,
                "the master is silent or pushes fail on it, so soon after another was replaced for that: it is waited \
                 for {} s",
                patience.as_secs()
            ),
            Trouble::NobodyAble => f.write_str(
                "pushes fail on the master for a reason of its own, and no standby of the in-sync set says that it \
                 could take them: its readiness and its log say what fails",
            ),
            Trouble::Disabled => f.write_str("the master is gone, and spec.failover.enabled is false"),
            Trouble::NotInSync(name) => {
                write!(f, "{name} cannot be made master: it is not in the in-sync set, or does not answer")
            }
            Trouble::Sealing => f.write_str("a promotion has begun, and no in-sync standby answers and can be sealed"),
            Trouble::Withdrawn => f.write_str(
                "a promotion was withdrawn a short while ago, because no in-sync standby could be sealed: it is not \
                 tried again so soon",
            ),
            Trouble::Unproven(name) => write!(
                f,
                "{name} is silent, and nothing proves that it writes nothing more to the volume: make sure that its \
                 process or its node is off, then say so with `kubectl hg fence NAME --confirm` (without Kubernetes: \
                 `hgd fence --confirm`)"
            ),
            Trouble::LeaseRuns(name) => write!(
                f,
                "{name} is said to be off or gone, and its lease has been renewed a short while ago: it is waited \
                 until that has run out"
            ),
            Trouble::NobodyAnswers => {
                f.write_str("the master is gone, and no other instance answers that could open the volume")
            }
        }
    }
}

/// The next step. Call it again after each one was carried out, with what is observed after that.
pub fn decide(now: Duration, observed: &Observed, policy: &Policy, memory: &mut Memory) -> Step {
    let Some(register) = &observed.register else { return Step::Nothing };
    let since = memory.look(now, &register.value);
    let look = Look { now, observed, register, since };
    match (&register.value.master, policy.shared) {
        (None, None) => look.frozen(),
        (Some(master), None) => look.reigning(master, policy, memory),
        (None, Some(lease)) => look.frozen_shared(lease, memory),
        (Some(master), Some(lease)) => look.reigning_shared(master, lease, policy, memory),
    }
}

impl Memory {
    /// Since when the register holds this.
    fn look(&mut self, now: Duration, state: &State) -> Duration {
        self.backoff.look(now, state);
        let Some((before, since)) = &self.holding else {
            self.holding = Some((state.clone(), now));
            return now;
        };
        if before == state {
            return *since;
        }
        let named_again = before.master.is_none() && state.master.is_some() && state.master == before.previous;
        if named_again {
            self.withdrawn = Some(now);
        }
        self.holding = Some((state.clone(), now));
        now
    }
}

struct Look<'a> {
    now: Duration,
    observed: &'a Observed,
    register: &'a Versioned<State>,
    /// The register holds this for so long, as far as this one knows.
    since: Duration,
}

impl Look<'_> {
    fn reigning(&self, master: &InstanceName, policy: &Policy, memory: &mut Memory) -> Step {
        if self.leads(master) {
            let relief = self.relieved(master, &self.candidates(), policy, memory);
            return relief.or(self.wished(master, policy, memory)).unwrap_or(Step::Nothing);
        }
        // No disk is known before the first reign: nobody has had a push yet, and nobody could be promoted.
        if self.register.value.disks.is_empty() {
            return Step::Nothing;
        }
        let why = match self.suspicion(master, policy, memory) {
            Ok(why) => why,
            Err(trouble) => return trouble.map_or(Step::Nothing, Step::Wait),
        };
        if why == Reason::Silent && self.observed.nobody_answers(self.now) {
            Step::Wait(Trouble::Blind)
        } else if !policy.enabled {
            Step::Wait(Trouble::Disabled)
        } else if self.candidates().is_empty() {
            Step::Wait(Trouble::NobodyInSync)
        } else {
            self.freeze(why)
        }
    }

    /// Why the master is to be replaced; or what is amiss while it may come back, or is heard by others.
    fn suspicion(&self, master: &InstanceName, policy: &Policy, memory: &Memory) -> Result<Reason, Option<Trouble>> {
        if let Some(report) = self.answer(master) {
            // It lives and does not lead: it is opening, or cannot.
            let waited = self.now.saturating_sub(self.since);
            return match self.is_meant(master, report) {
                false => Ok(Reason::Emptied),
                true if waited >= OPENING => Ok(Reason::NotOpened),
                true => Err(None),
            };
        }
        if self.observed.ended.contains(master) {
            return Ok(Reason::Ended);
        }
        let heard = self.last_heard_by_a_standby(master);
        let answered = self.observed.answers.get(master).map(|(at, _)| *at);
        let last = [Some(self.since), answered, heard].into_iter().flatten().max().unwrap_or(self.now);
        let (silent, patience) = (self.now.saturating_sub(last), memory.backoff.patience(self.now, policy));
        if silent >= patience {
            return Ok(Reason::Silent);
        }
        if silent >= policy.detection {
            return Err(Some(Trouble::TooSoon(patience)));
        }
        let partition = heard.is_some_and(|at| is_fresh(self.now, at));
        Err(partition.then_some(Trouble::Partition))
    }

    fn wished(&self, master: &InstanceName, policy: &Policy, memory: &Memory) -> Option<Step> {
        let wish = self.observed.wish.as_ref().filter(|wish| wish.to != *master)?;
        Some(if !self.candidates().contains(&wish.to) {
            Step::Wait(Trouble::NotInSync(wish.to.clone()))
        } else if memory.withdrawn.is_some_and(|at| self.now - at < policy.min_interval) {
            Step::Wait(Trouble::Withdrawn)
        } else if !wish.drained {
            Step::Drain(master.clone())
        } else {
            self.freeze(Reason::Asked)
        })
    }

    fn freeze(&self, why: Reason) -> Step {
        Step::Freeze { expected: self.register.version.clone(), state: self.register.value.frozen(), why }
    }

    fn frozen(&self) -> Step {
        let state = &self.register.value;
        let candidates = self.candidates();
        let sealed = |name: &&InstanceName| self.answer(name).is_some_and(|report| report.sealed >= state.generation);
        let (done, open): (BTreeSet<&InstanceName>, BTreeSet<&InstanceName>) = candidates.iter().partition(sealed);
        let waited = self.now.saturating_sub(self.since);
        let expected = || self.register.version.clone();
        // Also where somebody answers: its disk may be full.
        let hopeless = done.is_empty() && waited >= HOPELESS;
        let answers = |old: &&InstanceName| self.answer(old).is_some_and(|report| self.is_meant(old, report));
        if let Some(old) = state.previous.as_ref().filter(answers).filter(|_| hopeless) {
            return Step::Withdraw { expected: expected(), state: state.withdrawn(old) };
        }
        if !open.is_empty() && (done.is_empty() || waited < SEALING) {
            let members = open.into_iter().cloned().collect();
            let trouble = hopeless.then_some(Trouble::Sealing);
            return Step::Seal { generation: state.generation, members, trouble };
        }
        match self.most_advanced(&done) {
            Some(best) => {
                Step::Name { expected: expected(), state: state.naming(best), proof: Proof::Sealed(best.clone()) }
            }
            None => Step::Wait(Trouble::Sealing),
        }
    }

    /// Finds, of those who are sealed, the one who holds most, of those who could take pushes if there are such; of
    /// equal ones the one who is wished for, or the first.
    fn most_advanced<'a>(&self, sealed: &BTreeSet<&'a InstanceName>) -> Option<&'a InstanceName> {
        let ends = |name: &InstanceName| -> Option<(bool, [LogEnd; 2])> {
            self.answer(name).map(|report| (report.unable.is_none(), [report.replication, report.publication]))
        };
        let wished = self.observed.wish.as_ref().map(|wish| &wish.to);
        // The last of equal ones is taken.
        sealed.iter().rev().copied().max_by_key(|name| (ends(name), Some(*name) == wished))
    }

    /// Members of the in-sync set that answer, on the disks that the register means.
    fn candidates(&self) -> BTreeSet<InstanceName> {
        let state = &self.register.value;
        let able = |name: &&InstanceName| {
            let report = self.answer(name);
            state.disks.contains_key(*name) && report.is_some_and(|report| self.is_meant(name, report))
        };
        state.in_sync.iter().filter(able).cloned().collect()
    }

    fn is_meant(&self, name: &InstanceName, report: &InstanceReport) -> bool {
        report.disk.as_ref().is_some_and(|disk| self.register.value.means(name, disk))
    }

    fn leads(&self, master: &InstanceName) -> bool {
        self.answer(master).is_some_and(|report| {
            report.role == Role::Master && report.open && report.generation == self.register.value.generation
        })
    }

    /// When the master of this generation last said something to somebody who answers us.
    fn last_heard_by_a_standby(&self, master: &InstanceName) -> Option<Duration> {
        let generation = self.register.value.generation;
        let others = self.observed.answers.iter().filter(|(name, _)| *name != master);
        let heard = others
            .filter(|(_, (_, report))| report.generation == generation)
            .filter_map(|(_, (at, report))| Some(at.saturating_sub(Duration::from_millis(report.heard?))));
        heard.max()
    }

    fn answer(&self, name: &InstanceName) -> Option<&InstanceReport> {
        self.observed.answer(self.now, name)
    }
}

#[cfg(test)]
mod tests;
