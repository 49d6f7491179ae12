//! Pushes, their way to the standbys' disks, and what is committed.

use crate::set::{INSTANCES, Id};
use crate::state::{Entry, Instance, State};
use crate::{Bug, Protocol};

impl Protocol {
    pub fn push(&self, state: &mut State, id: Id) {
        let Some(generation) = state.instance(id).reign.map(|reign| reign.generation) else { return };
        state.left.pushes -= 1;
        let push = if self.bug == Some(Bug::ReuseGeneration) { state.left.pushes } else { 0 };
        state.instance_mut(id).log.push(Entry { generation, push });
        self.commit(state, id);
    }

    pub fn sync(&self, state: &mut State, id: Id) {
        let instance = state.instance_mut(id);
        instance.durable = instance.log.len();
        self.commit(state, id);
    }

    pub fn connect(&self, state: &mut State, follower: Id, master: Id) {
        let Instance { log, reign: Some(reign), .. } = state.instance(master).clone() else { return };
        let instance = state.instance_mut(follower);
        let common = instance.log.common(&log);
        instance.log.truncate(common);
        instance.durable = instance.durable.min(common);
        if self.bug != Some(Bug::SkipSeal) {
            instance.seal = reign.generation;
        }
        self.acknowledge(state, follower, master);
    }

    pub fn store(&self, state: &mut State, follower: Id, master: Id) {
        let next = usize::from(state.instance(follower).log.len());
        let Some(entry) = state.instance(master).log.entries().get(next).copied() else { return };
        let instance = state.instance_mut(follower);
        instance.log.push(entry);
        if self.bug != Some(Bug::AcknowledgeBeforeFsync) {
            instance.durable = instance.log.len();
        }
        self.acknowledge(state, follower, master);
    }

    fn acknowledge(&self, state: &mut State, follower: Id, master: Id) {
        let stored = state.instance(follower).log.len();
        if !state.listens(master, follower) {
            return;
        }
        if let Some(reign) = state.reign_mut(master) {
            reign.stored[usize::from(follower)] = stored;
        }
        self.commit(state, master);
    }

    /// Whatever can be committed is: who commits later has promised less.
    pub fn commit(&self, state: &mut State, id: Id) {
        let instance = state.instance(id);
        let Some(reign) = instance.reign.filter(|reign| !reign.is_over()) else { return };
        let members = reign.required().ids().map(|member| reign.stored[usize::from(member)]);
        let mut now = instance.log;
        now.truncate(members.fold(instance.durable, u8::min));
        if let Some(reign) = state.reign_mut(id) {
            reign.needed = reign.needed.max(now.len());
        }
        if now.starts_with(&state.committed) {
            state.committed = now;
        } else if !state.committed.starts_with(&now) {
            state.broken = true;
        }
    }

    pub fn restart(&self, state: &mut State, id: Id, kept: u8) {
        let instance = state.instance_mut(id);
        instance.reign = None;
        instance.log.truncate(kept);
        // What is found at a start is made durable first.
        instance.durable = instance.log.len();
        if self.bug == Some(Bug::ForgetSealAtRestart) {
            instance.seal = instance.log.last().map_or(0, |entry| entry.generation);
        }
    }

    /// Another disk takes its place.
    pub fn lose_disk(&self, state: &mut State, id: Id) {
        state.left.lost_disks -= 1;
        let empty = Instance { there: true, ..Instance::default() };
        if self.bug == Some(Bug::KeepNameOfLostDisk) {
            *state.instance_mut(id) = empty;
            return;
        }
        *state.instance_mut(id) = Instance::default();
        if let Some(successor) = (0..INSTANCES as Id).find(|other| *other != id && !state.instance(*other).there) {
            *state.instance_mut(successor) = empty;
        }
    }
}
