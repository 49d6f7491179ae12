//! Freeze, seal, name, open.

use crate::set::{INSTANCES, Id, Set};
use crate::state::{Instance, Reign, State};
use crate::steps::Step;
use crate::{Bug, Protocol};

impl Protocol {
    pub fn steps_of_promotion(&self, state: &State, steps: &mut Vec<Step>) {
        let register = &state.register;
        let Some(master) = register.master else {
            return self.steps_of_frozen(state, steps);
        };
        if state.left.promotions > 0 {
            steps.push(Step::Freeze);
        }
        let Instance { there, reign, .. } = state.instance(master);
        if *there && reign.is_none() && (register.named || state.left.reopenings > 0) {
            steps.push(Step::Open(master));
        }
    }

    fn steps_of_frozen(&self, state: &State, steps: &mut Vec<Step>) {
        let register = &state.register;
        steps.push(Step::Withdraw);
        for id in (0..INSTANCES as Id).filter(|id| state.instance(*id).there) {
            let member = register.set.contains(id);
            let sealed = state.instance(id).seal >= register.generation;
            if member && !sealed && self.bug != Some(Bug::SkipSeal) {
                steps.push(Step::Seal(id));
            }
            let fit = match self.bug {
                Some(Bug::SkipSeal) => member,
                Some(Bug::PromoteOutOfSync) => true,
                _ => member && sealed,
            };
            if fit {
                steps.push(Step::Name(id));
            }
        }
    }

    pub fn take_promotion(&self, state: &mut State, step: Step) {
        let register = &mut state.register;
        match step {
            Step::Freeze => {
                state.left.promotions -= 1;
                register.generation += 1;
                (register.previous, register.master) = (register.master, None);
                (register.named, register.late) = (false, None);
            }
            Step::Seal(id) => {
                let generation = register.generation;
                let instance = state.instance_mut(id);
                (instance.reign, instance.seal) = (None, generation);
            }
            Step::Name(id) => {
                (register.master, register.previous, register.named) = (Some(id), None, true);
                register.set = register.set.without(id);
            }
            Step::Withdraw => (register.master, register.named) = (register.previous.take(), true),
            Step::Open(id) => self.open(state, id),
            _ => {}
        }
    }

    /// Every opening takes a new generation, in the same write that makes every other one fail.
    fn open(&self, state: &mut State, id: Id) {
        let register = &mut state.register;
        let promoted = std::mem::take(&mut register.named);
        if !promoted {
            state.left.reopenings -= 1;
        }
        if promoted || self.bug != Some(Bug::ReuseGeneration) {
            register.generation += 1;
        }
        register.late = None;
        let (generation, set) = (register.generation, register.set);
        let held = if self.bug == Some(Bug::CommitAloneAfterPromotion) { Set::default() } else { set };
        let instance = state.instance_mut(id);
        if self.bug != Some(Bug::SkipSeal) {
            instance.seal = generation;
        }
        instance.durable = instance.log.len();
        let needed = if self.bug == Some(Bug::ForgetWhatTheReignBeganWith) { 0 } else { instance.log.len() };
        instance.reign = Some(Reign { generation, held, doubt: Set::default(), needed, stored: [0; INSTANCES] });
        if !state.instance(id).log.starts_with(&state.committed) {
            state.broken = true;
        }
        self.commit(state, id);
    }
}
