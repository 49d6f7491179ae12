//! One volume for all instances: no standby can be sealed, and whoever still runs may still write. So another master
//! is named only on hard proof about the last one. Silence is none: a process that hangs may go on at any time.

use std::time::Duration;

use protocol::InstanceName;

use super::{HOPELESS, Look, Memory, OPENING, Policy, Proof, Reason, Step, Trouble, is_fresh};

impl Look<'_> {
    pub(super) fn reigning_shared(
        &self,
        master: &InstanceName,
        lease: Duration,
        policy: &Policy,
        memory: &mut Memory,
    ) -> Step {
        let lease_runs = self.lease_runs(lease, memory);
        if self.leads(master) {
            let openers = self.openers().cloned().collect();
            let relief = self.relieved(master, &openers, policy, memory);
            return relief.unwrap_or_else(|| self.wished_shared(master));
        }
        // No disk is known before the first reign: nobody has had a push yet.
        if self.register.value.disks.is_empty() {
            return Step::Nothing;
        }
        let (why, proof) = match self.proven(master, lease_runs, policy) {
            Ok(proven) => proven,
            Err(trouble) => return trouble.map_or(Step::Nothing, Step::Wait),
        };
        let by_word = matches!(proof, Proof::Word(_));
        if (by_word || matches!(proof, Proof::Gone(_))) && lease_runs {
            Step::Wait(Trouble::LeaseRuns(master.clone()))
        } else if !policy.enabled && !by_word {
            Step::Wait(Trouble::Disabled)
        } else if self.openers().all(|name| name == master) {
            Step::Wait(Trouble::NobodyAnswers)
        } else {
            memory.proven = Some((self.register.value.generation.next(), proof));
            self.freeze(why)
        }
    }

    /// Why a master that does not lead is to be replaced, and what proves that it writes nothing more; or what is
    /// amiss without that.
    fn proven(
        &self,
        master: &InstanceName,
        lease_runs: bool,
        policy: &Policy,
    ) -> Result<(Reason, Proof), Option<Trouble>> {
        let gone = self.observed.gone.as_ref() == Some(master);
        if let Some(report) = self.answer(master) {
            // It lives and does not lead: it is opening, or cannot.
            return match (self.now.saturating_sub(self.since) >= OPENING, report.released) {
                (false, _) => Err(None),
                (true, true) => Ok((Reason::NotOpened, Proof::Released(master.clone()))),
                // Another process of that name answers.
                (true, false) if gone => Ok((Reason::Gone, Proof::Gone(master.clone()))),
                (true, false) => Err(Some(Trouble::Unproven(master.clone()))),
            };
        }
        if self.observed.ended.contains(master) {
            return Ok((Reason::Ended, Proof::Ended(master.clone())));
        }
        if gone {
            return Ok((Reason::Gone, Proof::Gone(master.clone())));
        }
        if self.observed.fenced == Some(self.register.value.generation) {
            return Ok((Reason::Fenced, Proof::Word(master.clone())));
        }
        let answered = self.observed.answers.get(master).map_or(self.since, |(at, _)| self.since.max(*at));
        if self.now.saturating_sub(answered) < policy.detection {
            return Err(None);
        }
        Err(Some(match (lease_runs, self.observed.nobody_answers(self.now)) {
            (true, _) => Trouble::Partition,
            (false, true) => Trouble::Blind,
            (false, false) => Trouble::Unproven(master.clone()),
        }))
    }

    fn wished_shared(&self, master: &InstanceName) -> Step {
        let Some(wish) = self.observed.wish.as_ref().filter(|wish| wish.to != *master) else { return Step::Nothing };
        if !self.openers().any(|name| *name == wish.to) {
            Step::Wait(Trouble::NotInSync(wish.to.clone()))
        } else if !wish.drained {
            Step::Drain(master.clone())
        } else {
            // That it has drained proves nothing: it lets go of the volume when it sees the frozen register.
            self.freeze(Reason::Asked)
        }
    }

    pub(super) fn frozen_shared(&self, lease: Duration, memory: &mut Memory) -> Step {
        let state = &self.register.value;
        let lease_runs = self.lease_runs(lease, memory);
        let Some(old) = &state.previous else { return Step::Wait(Trouble::NobodyAnswers) };
        let known = memory.proven.clone().filter(|(generation, _)| *generation == state.generation);
        let proof = known.map(|(_, proof)| proof).or_else(|| self.frozen_proof(old, lease_runs));
        let begins = self.now.saturating_sub(self.since) < HOPELESS;
        let waits = |trouble| if begins { Step::Nothing } else { Step::Wait(trouble) };
        let Some(proof) = proof else { return waits(Trouble::Unproven(old.clone())) };
        let wished = self.observed.wish.as_ref().map(|wish| &wish.to);
        // The first of equal ones.
        let best = self.openers().min_by_key(|name| (Some(*name) != wished, *name == old));
        let Some(best) = best else { return waits(Trouble::NobodyAnswers) };
        Step::Name { expected: self.register.version.clone(), state: state.handed_to(best), proof }
    }

    /// From a frozen register nobody begins a reign: what is so since then stays so.
    fn frozen_proof(&self, old: &InstanceName, lease_runs: bool) -> Option<Proof> {
        let since_then = self.observed.answers.get(old).is_some_and(|(at, _)| *at >= self.since);
        if since_then && self.answer(old).is_some_and(|report| report.released) {
            return Some(Proof::Released(old.clone()));
        }
        if self.observed.ended.contains(old) {
            return Some(Proof::Ended(old.clone()));
        }
        if self.observed.gone.as_ref() == Some(old) && !lease_runs {
            return Some(Proof::Gone(old.clone()));
        }
        let word = self.observed.fenced.is_some_and(|fenced| fenced.next() == self.register.value.generation);
        (word && !lease_runs).then(|| Proof::Word(old.clone()))
    }

    /// Lists who answers, and could open the volume: also another process of the instance whose last one has ended.
    fn openers(&self) -> impl Iterator<Item = &InstanceName> {
        self.observed
            .answers
            .iter()
            .filter(|(_, (at, report))| is_fresh(self.now, *at) && report.released)
            .map(|(name, _)| name)
    }

    fn lease_runs(&self, lease: Duration, memory: &mut Memory) -> bool {
        memory.renewals.still_for(self.now, &self.register.version) < lease
    }
}

#[cfg(test)]
mod tests;
