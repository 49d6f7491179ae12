//! The repositories on one instance's disk, as far as lanes see them. A repository's content is the list of the pushes
//! in it, so that order and completeness can be compared with the log.

use std::collections::BTreeMap;

use follower::lanes::{ActionKind, LaneFacts, Outcome, RetryKind};
use protocol::{ChangesetId, CreationId, Offset};

use crate::chance::Chance;

#[derive(Clone, Debug, Default)]
pub struct Repository {
    pub facts: LaneFacts,
    pub content: Vec<Offset>,
    pub corrupt: bool,
}

#[derive(Default)]
pub struct Store {
    pub live: BTreeMap<CreationId, Repository>,
    synced: BTreeMap<CreationId, Repository>,
    pub full: bool,
    /// Planted: the push that is held back until the next one is in.
    pub out_of_order: bool,
    held: BTreeMap<CreationId, Offset>,
    /// The most that was ever applied and shown here.
    pub reached: BTreeMap<CreationId, LaneFacts>,
}

/// A push's changeset carries the push's offset, by which a later strip finds it.
pub fn changeset(offset: Offset) -> ChangesetId {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&offset.0.to_be_bytes());
    ChangesetId(bytes)
}

pub fn pushed_at(changeset: &ChangesetId) -> Offset {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&changeset.0[..8]);
    Offset(u64::from_be_bytes(bytes))
}

impl Store {
    pub fn sync(&mut self) {
        self.synced = self.live.clone();
    }

    pub fn lose_disk(&mut self) {
        self.live.clear();
        self.held.clear();
        self.sync();
    }

    /// Each repository is as it was, as it was last synced, or damaged.
    pub fn lose_power(&mut self, chance: &mut Chance) {
        let mut after = self.synced.clone();
        for (id, repository) in &self.live {
            if chance.one_in(2) {
                after.insert(*id, repository.clone());
            } else if chance.one_in(4)
                && let Some(repository) = after.get_mut(id)
            {
                repository.corrupt = true;
            }
        }
        self.live = after;
        self.held.clear();
        self.sync();
    }

    /// Carries out one action, now and then badly.
    pub fn perform(
        &mut self,
        id: CreationId,
        kind: &ActionKind,
        peer: Option<&Repository>,
        mut chance: Option<&mut Chance>,
    ) -> Outcome {
        let mut unlucky = |n: usize| chance.as_deref_mut().is_some_and(|chance| chance.one_in(n));
        if self.full && !matches!(kind, ActionKind::Open | ActionKind::Remove { .. }) {
            return Outcome::Full;
        }
        if unlucky(40) {
            return Outcome::Retry(RetryKind::Failed);
        }
        if unlucky(60) {
            return Outcome::Retry(RetryKind::Locked);
        }
        if unlucky(200)
            && let Some(repository) = self.live.get_mut(&id)
        {
            repository.corrupt = true;
        }
        let outcome = self.act(id, kind, peer);
        if let Some(repository) = self.live.get(&id) {
            let reached = self.reached.entry(id).or_default();
            reached.applied = reached.applied.max(repository.facts.applied);
            reached.shown = reached.shown.max(repository.facts.shown);
        }
        // The worker dies after it has done its work.
        if unlucky(40) { Outcome::Retry(RetryKind::Failed) } else { outcome }
    }

    /// Replaces a repository as a whole; None: it is about what is in one.
    fn replace(&mut self, id: CreationId, kind: &ActionKind, peer: Option<&Repository>) -> Option<Outcome> {
        match kind {
            ActionKind::Remove { .. } => {
                self.live.remove(&id);
                Some(Outcome::Done(LaneFacts::default()))
            }
            ActionKind::Resync { applied, shown, alone: _ } => {
                let Some(peer) = peer else { return Some(Outcome::Missing) };
                if peer.facts.applied < *applied || peer.facts.shown < *shown {
                    return Some(Outcome::Retry(RetryKind::Failed));
                }
                self.held.remove(&id);
                self.live.insert(id, peer.clone());
                Some(Outcome::Done(peer.facts))
            }
            ActionKind::Init { offset, hidden, .. } => {
                let shown = if *hidden { Offset::ZERO } else { *offset };
                let made = Repository { facts: LaneFacts { applied: *offset, shown }, ..Repository::default() };
                self.live.entry(id).or_insert(made);
                None
            }
            ActionKind::Open
            | ActionKind::Configure { .. }
            | ActionKind::Apply { .. }
            | ActionKind::Show { .. }
            | ActionKind::Reveal { .. }
            | ActionKind::Advertise { .. }
            | ActionKind::Hide { .. }
            | ActionKind::Strip { .. }
            | ActionKind::Replay { .. }
            | ActionKind::Recover { .. } => None,
        }
    }

    fn act(&mut self, id: CreationId, kind: &ActionKind, peer: Option<&Repository>) -> Outcome {
        if let Some(outcome) = self.replace(id, kind, peer) {
            return outcome;
        }
        let Some(repository) = self.live.get_mut(&id) else { return Outcome::Missing };
        if repository.corrupt {
            return Outcome::Corrupt;
        }
        let facts = &mut repository.facts;
        match kind {
            ActionKind::Apply { offset, hidden, .. } if *offset > facts.applied => {
                facts.applied = *offset;
                if !hidden {
                    facts.shown = *offset;
                }
                if self.out_of_order && !self.held.contains_key(&id) {
                    self.held.insert(id, *offset);
                } else {
                    repository.content.push(*offset);
                    repository.content.extend(self.held.remove(&id));
                }
            }
            ActionKind::Hide { offset } => facts.applied = facts.applied.max(*offset),
            ActionKind::Show { offset, .. } | ActionKind::Reveal { offset } => facts.shown = facts.shown.max(*offset),
            ActionKind::Configure { offset, .. } | ActionKind::Advertise { offset, .. } => {
                facts.applied = facts.applied.max(*offset);
                facts.shown = facts.shown.max(*offset);
            }
            ActionKind::Strip { offset, changesets } if *offset > facts.shown => {
                repository.content.retain(|push| !changesets.contains(&changeset(*push)));
                facts.applied = facts.applied.max(*offset);
                facts.shown = *offset;
            }
            ActionKind::Apply { .. }
            | ActionKind::Strip { .. }
            | ActionKind::Init { .. }
            | ActionKind::Open
            | ActionKind::Recover { .. }
            | ActionKind::Remove { .. }
            | ActionKind::Replay { .. }
            | ActionKind::Resync { .. } => {}
        }
        Outcome::Done(repository.facts)
    }
}
