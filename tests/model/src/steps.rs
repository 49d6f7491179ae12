//! Everything that can happen next.

use crate::set::{INSTANCES, Id, Set};
use crate::state::State;
use crate::{Bug, Protocol};

/// How a conditional write ends that the register would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Unanswered: the writer gives up waiting, and the write takes place at once, later, or never.
    Unanswered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Push(Id),
    /// Syncs a master's followers, which may have more on disk than it has.
    Sync(Id),
    /// A follower seals itself with the generation that it follows, and drops what the master does not have.
    Connect {
        follower: Id,
        master: Id,
    },
    /// A follower stores the next entry, and says so when it is on disk: what is not on disk yet is as good as not
    /// stored, for nobody was told of it.
    Store {
        follower: Id,
        master: Id,
    },
    /// Loses power or is killed: of what was not synced, so many entries in all are there at the next start. A deposed
    /// master that learns it is one that restarts and loses nothing.
    Restart(Id, u8),
    LoseDisk(Id),
    /// The master writes another in-sync set, or the same, so that an older write cannot take place any more.
    Ask(Id, Set, Fate),
    LateWrite,
    Freeze,
    Seal(Id),
    Name(Id),
    /// The old master is named again.
    Withdraw,
    Open(Id),
}

impl Protocol {
    pub fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        for id in (0..INSTANCES as Id).filter(|id| state.instance(*id).there) {
            self.steps_of_instance(state, id, steps);
            self.steps_of_follower(state, id, steps);
            self.steps_of_master(state, id, steps);
        }
        steps.extend(state.register.late.map(|_| Step::LateWrite));
        self.steps_of_promotion(state, steps);
    }

    fn steps_of_instance(&self, state: &State, id: Id, steps: &mut Vec<Step>) {
        let instance = state.instance(id);
        if instance.durable < instance.log.len() {
            steps.push(Step::Sync(id));
        }
        let forgets = self.bug == Some(Bug::ForgetSealAtRestart);
        if instance.reign.is_some() || instance.durable < instance.log.len() || forgets {
            steps.extend((instance.durable..=instance.log.len()).map(|kept| Step::Restart(id, kept)));
        }
        if state.left.lost_disks > 0 {
            steps.push(Step::LoseDisk(id));
        }
    }

    fn steps_of_follower(&self, state: &State, follower: Id, steps: &mut Vec<Step>) {
        let instance = state.instance(follower);
        if instance.reign.is_some() {
            return;
        }
        for master in (0..INSTANCES as Id).filter(|master| *master != follower) {
            let writer = state.instance(master);
            let Some(reign) = writer.reign else { continue };
            if reign.generation < instance.seal && self.bug != Some(Bug::SkipSeal) {
                continue;
            }
            let agrees = instance.log.common(&writer.log) == instance.log.len();
            let said = reign.stored[usize::from(follower)] == instance.log.len() || !state.listens(master, follower);
            let others = state.instances.iter().filter_map(|other| other.reign);
            let refused = instance.seal..reign.generation;
            let sealed = others.into_iter().all(|other| !refused.contains(&other.generation));
            if !(agrees && said && sealed) {
                steps.push(Step::Connect { follower, master });
            } else if writer.log.len() > instance.log.len() {
                steps.push(Step::Store { follower, master });
            }
        }
    }

    fn steps_of_master(&self, state: &State, id: Id, steps: &mut Vec<Step>) {
        let Some(reign) = state.instance(id).reign else { return };
        if state.left.pushes > 0 {
            steps.push(Step::Push(id));
        }
        // Only who knows what the register holds can write it.
        if !state.holds(id) {
            return;
        }
        let held = state.register.set;
        let mut ask = |set: Set| {
            steps.extend([Fate::Answered, Fate::Unanswered].map(|fate| Step::Ask(id, set, fate)));
        };
        for other in (0..INSTANCES as Id).filter(|other| *other != id) {
            if held.contains(other) {
                ask(held.without(other));
            } else if state.instance(other).there && reign.stored[usize::from(other)] >= reign.needed {
                ask(held.with(other));
            }
        }
        if reign.doubt != Set::default() {
            steps.push(Step::Ask(id, held, Fate::Answered));
        }
    }

    pub fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::Push(id) => self.push(state, id),
            Step::Sync(id) => self.sync(state, id),
            Step::Connect { follower, master } => self.connect(state, follower, master),
            Step::Store { follower, master } => self.store(state, follower, master),
            Step::Restart(id, kept) => self.restart(state, id, kept),
            Step::LoseDisk(id) => self.lose_disk(state, id),
            Step::Ask(id, set, fate) => self.ask(state, id, set, fate),
            Step::LateWrite => {
                let register = &mut state.register;
                register.set = register.late.take().unwrap_or(register.set);
            }
            Step::Freeze | Step::Seal(_) | Step::Name(_) | Step::Withdraw | Step::Open(_) => {
                self.take_promotion(state, step);
            }
        }
    }

    /// Until a write is answered commits need whoever the register may hold: before it is sent, for one that is to be
    /// added. An answer means that no earlier write can take place any more.
    fn ask(&self, state: &mut State, id: Id, set: Set, fate: Fate) {
        let register = &mut state.register;
        match fate {
            Fate::Answered => (register.set, register.late) = (set, None),
            Fate::Unanswered => register.late = Some(set),
        }
        let bug = self.bug;
        let Some(reign) = state.reign_mut(id) else { return };
        let grows = set.union(reign.held) != reign.held;
        let forgotten = bug == Some(Bug::ForgetUnansweredWrite) || (bug == Some(Bug::GrowBeforeCommitsWait) && grows);
        match fate {
            Fate::Answered => (reign.held, reign.doubt) = (set, Set::default()),
            Fate::Unanswered if bug == Some(Bug::ShrinkAfterCommit) && !grows => reign.held = set,
            Fate::Unanswered if forgotten => {}
            Fate::Unanswered => reign.doubt = reign.doubt.union(set),
        }
        self.commit(state, id);
    }
}
