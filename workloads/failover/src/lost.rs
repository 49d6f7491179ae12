//! A register that is missing while there are volumes. It is made again from what all of them hold, or, where one of
//! them is lost for good, by a person's word. Nobody is in sync at first: whose acknowledgement commits have needed
//! stood in the register only, and whoever has caught up is taken in again by the master.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::{Generation, InstanceName};
use register::State;

use crate::decide::is_fresh;
use crate::{InstanceReport, LogEnd};

/// By a person's word, so many generations are passed over: an instance that does not answer may have had one that
/// nobody else has heard of, and two masters must never have the same.
const UNHEARD: u64 = 16;

/// Lost register: what is known of an installation without one.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    /// Instances whose volumes there are, or are to be.
    pub instances: &'a BTreeSet<InstanceName>,
    /// The last answer of each instance, and when it came.
    pub answers: &'a BTreeMap<InstanceName, (Duration, InstanceReport)>,
    /// The newest generation that was told of elsewhere, such as in a status.
    pub told: Generation,
    /// All instances have one volume: what it holds says nothing of who may still write to it.
    pub shared: bool,
    /// A person's word: who does not answer, or is empty, is lost, and writes nothing more.
    pub word: bool,
}

/// Why it is not made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// These do not answer, and one of them may hold more than the others.
    Silent(BTreeSet<InstanceName>),
    /// Empty: the volume has been made anew beside others that hold something.
    Empty(InstanceName),
    Shared,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const WORD: &str = "`kubectl hg fence NAME --confirm` (without Kubernetes: `hgd fence --confirm`)";
        f.write_str("the register is missing while volumes exist, and ")?;
        match self {
            Missing::Silent(names) => {
                let names: Vec<&str> = names.iter().map(InstanceName::as_str).collect();
                let names = names.join(", ");
                write!(
                    f,
                    "is made again as soon as every instance answers what it holds; silent: {names}; if that is lost \
                     for good, say so with {WORD}"
                )
            }
            Missing::Empty(name) => write!(
                f,
                "{name} is empty, so that nobody knows whether its last volume held more than the others: if the \
                 others are to go on with what they have, say so with {WORD}"
            ),
            Missing::Shared => write!(
                f,
                "only a person may say who is master of a volume that all instances have: make sure that no other \
                 process or node writes to it, then say so with {WORD}"
            ),
        }
    }
}

/// Remakes the register. The master is the instance that holds most of those that answer: with all of them, nothing
/// that was ever acknowledged is missing there.
pub fn remake(now: Duration, lost: &Lost<'_>) -> Result<State, Missing> {
    let answers = || {
        let fresh = lost.answers.iter().filter(|(_, (at, _))| is_fresh(now, *at));
        fresh.map(|(name, (_, report))| (name, report)).filter(|(_, report)| lost.shared || report.disk.is_some())
    };
    if !lost.word {
        if lost.shared {
            return Err(Missing::Shared);
        }
        let mut silent = lost.instances.clone();
        silent.retain(|name| answers().all(|(other, _)| other != name));
        if !silent.is_empty() {
            return Err(Missing::Silent(silent));
        }
        let is_empty = |report: &InstanceReport| report.replication == LogEnd::default();
        let empty = answers().find(|(_, report)| is_empty(report));
        if let Some((name, _)) = empty.filter(|_| answers().any(|(_, report)| !is_empty(report))) {
            return Err(Missing::Empty(name.clone()));
        }
    }
    let mut all: Vec<(&InstanceName, &InstanceReport)> = answers().collect();
    // Of equal ones the one who leads, or the first: the last of equal ones is taken.
    all.reverse();
    let best = all.iter().max_by_key(|(_, report)| (report.replication, report.publication, report.open));
    let Some((master, report)) = best else { return Err(Missing::Silent(lost.instances.clone())) };
    let heard = all.iter().flat_map(|(_, report)| {
        [report.generation, report.sealed, report.replication.generation, report.publication.generation]
    });
    let Generation(newest) = heard.chain([lost.told]).max().unwrap_or_default();
    let passed = if lost.word { UNHEARD } else { 1 };
    let disks = report.disk.iter().map(|disk| ((*master).clone(), disk.clone())).collect();
    let generation = Generation(newest.saturating_add(passed));
    Ok(State { generation, master: Some((*master).clone()), disks, ..State::default() })
}

#[cfg(test)]
mod tests;
