//! The master's part: which standbys' acknowledgement a commit needs. The register is changed before the master goes
//! on without a standby, and after commits wait for one that comes back. While the answer to a write is unknown,
//! commits need every standby that the register may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::{DiskId, Generation, InstanceName, Offset, PerLog};
use register::{State, Version, Versioned};

/// A standby that has not stored everything for this long is left out, if the durability allows it.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// One standby as the master sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    pub disk: DiskId,
    /// How far it has stored each log, on the connection that it has now.
    pub stored: PerLog<Offset>,
    /// Leaving: it says that it is about to end.
    pub leaving: bool,
}

/// View that the master has of its standbys and logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterView {
    pub standbys: BTreeMap<InstanceName, Standby>,
    /// Last record of each log here.
    pub ends: PerLog<Offset>,
    /// Last record of each log that may be final: what is committed, and all that was there when the reign began,
    /// because any of that may have been acknowledged in an earlier one.
    pub committed: PerLog<Offset>,
}

impl MasterView {
    /// `begun`: what was in the logs when the reign began.
    pub fn new(
        standbys: BTreeMap<InstanceName, Standby>,
        ends: PerLog<Offset>,
        committed: PerLog<Offset>,
        begun: PerLog<Offset>,
    ) -> MasterView {
        let committed = committed.zip(begun).map(|(committed, begun)| committed.max(begun));
        MasterView { standbys, ends, committed }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Tell both logs whom a commit needs, and count acknowledgements from these disks only.
    Require(Members),
    /// Write this if the register still holds that version, and hand the outcome to [`Keeper::wrote`].
    Write(Version, State),
    /// Read the register, and hand it to [`Keeper::read`].
    Read,
    /// Another master has been named, or none: this reign is over.
    Deposed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Refused,
    /// Somebody else has written.
    Conflict,
    /// Unknown: it may have been written.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Keeper {
    own: InstanceName,
    generation: Generation,
    /// Never without any standby.
    strict: bool,
    /// Known register, as it was last read or written.
    known: Versioned<State>,
    /// Doubt: what the register may hold instead. Writes without an answer, since the last one that succeeded.
    doubt: Vec<State>,
    /// Must be read before anything else is done.
    unread: bool,
    deposed: bool,
    /// Taken into the set next: commits wait for it already.
    joining: Option<Joining>,
    /// Required members, as the logs were told.
    required: Members,
    /// Members of the set that have not stored these ends, which were there at that time.
    late: BTreeMap<InstanceName, (PerLog<Offset>, Duration)>,
    /// Resting: who was waited for in vain, and until when it is not waited for again.
    resting: BTreeMap<InstanceName, Duration>,
}

/// The disk is None where the register does not know it yet.
pub type Members = BTreeMap<InstanceName, Option<DiskId>>;

#[derive(Clone, Debug)]
struct Joining {
    name: InstanceName,
    disk: DiskId,
    since: Duration,
}

impl Keeper {
    /// For a reign that begins: `opened` is what its opening wrote.
    pub fn new(own: InstanceName, opened: Versioned<State>, strict: bool) -> Keeper {
        let generation = opened.value.generation;
        let mut keeper = Keeper {
            own,
            generation,
            strict,
            known: opened,
            doubt: Vec::new(),
            unread: false,
            deposed: false,
            joining: None,
            required: BTreeMap::new(),
            late: BTreeMap::new(),
            resting: BTreeMap::new(),
        };
        keeper.required = keeper.wanted();
        keeper
    }

    /// Answers whom a commit needs.
    pub fn required(&self) -> &Members {
        &self.required
    }

    /// The set as the register is known to hold it.
    pub fn in_sync(&self) -> &BTreeSet<InstanceName> {
        &self.known.value.in_sync
    }

    /// Answers what the register held when it was last read or written.
    pub fn known(&self) -> &Versioned<State> {
        &self.known
    }

    /// False: pushes are refused, because nobody but this instance would have them.
    pub fn enough(&self) -> bool {
        !self.strict || !self.required.is_empty()
    }

    /// Reads what the register holds, as found at any time. An old answer takes nothing away: what was known stays
    /// possible until a write of ours succeeds.
    pub fn read(&mut self, found: Versioned<State>) {
        if found.value.generation < self.generation {
            return;
        }
        let ours = found.value.generation == self.generation && found.value.master.as_ref() == Some(&self.own);
        self.deposed |= !ours;
        self.unread = false;
        if found.version != self.known.version {
            let before = std::mem::replace(&mut self.known, found);
            self.doubt.push(before.value);
        }
    }

    /// How [`Step::Write`] of `state` went.
    pub fn wrote(&mut self, state: State, outcome: Result<Version, Outcome>) {
        match outcome {
            Ok(version) => {
                self.known = Versioned { version, value: state };
                self.doubt.clear();
                self.joining = None;
            }
            Err(Outcome::Refused) => {}
            Err(Outcome::Conflict) => self.unread = true,
            Err(Outcome::Unknown) => {
                self.unread = true;
                if !self.doubt.contains(&state) {
                    self.doubt.push(state);
                }
            }
        }
    }

    /// Call it again after each step was carried out, with what is seen after that, and when something changes.
    pub fn decide(&mut self, now: Duration, seen: &MasterView) -> Step {
        self.note_late(now, seen);
        if self.deposed {
            return Step::Deposed;
        }
        if self.unread {
            return Step::Read;
        }
        self.give_up_joining(now, seen);
        let wanted = self.wanted();
        if wanted != self.required {
            self.required = wanted.clone();
            return Step::Require(wanted);
        }
        match self.next(now, seen) {
            Some(state) => Step::Write(self.known.version.clone(), state),
            // A write that succeeds ends all doubt.
            None if !self.doubt.is_empty() => Step::Write(self.known.version.clone(), self.known.value.clone()),
            None => self.invite(now, seen),
        }
    }

    /// Every member of every set that the register may hold, and the one who joins.
    fn wanted(&self) -> Members {
        let mut wanted = Members::new();
        for state in std::iter::once(&self.known.value).chain(&self.doubt) {
            for name in &state.in_sync {
                wanted.entry(name.clone()).or_insert_with(|| state.disks.get(name).cloned());
            }
        }
        if let Some(joining) = &self.joining {
            wanted.insert(joining.name.clone(), Some(joining.disk.clone()));
        }
        wanted
    }

    /// Another set than the register holds: without who is late, with who has caught up, with disks as they are.
    fn next(&self, now: Duration, seen: &MasterView) -> Option<State> {
        let state = &self.known.value;
        let (mut members, mut changed) = (Members::new(), false);
        for name in &state.in_sync {
            let meant = state.disks.get(name).cloned();
            match seen.standbys.get(name) {
                // Not the disk that is meant, but it has all that ever was committed: nothing was since, because only
                // the one that is meant counts.
                Some(standby) if Some(&standby.disk) != meant.as_ref() && holds(standby, seen.committed) => {
                    members.insert(name.clone(), Some(standby.disk.clone()));
                    changed = true;
                }
                standby if self.is_late(name, now) || standby.is_some_and(|standby| standby.leaving) => changed = true,
                _ => {
                    members.insert(name.clone(), meant);
                }
            }
        }
        if let Some(Joining { name, disk, .. }) = &self.joining
            && seen.standbys.get(name).is_some_and(|standby| holds(standby, seen.committed))
        {
            members.insert(name.clone(), Some(disk.clone()));
            changed = true;
        }
        // With nobody left, nobody else would have what is acknowledged from now on.
        let allowed = !self.strict || !members.is_empty() || state.in_sync.is_empty();
        (changed && allowed)
            .then(|| State { in_sync: members.keys().cloned().collect(), ..state.with_set(&known(&members)) })
    }

    /// A standby outside of the set that has caught up is waited for from now on.
    fn invite(&mut self, now: Duration, seen: &MasterView) -> Step {
        let may = |name: &InstanceName| {
            !self.known.value.in_sync.contains(name) && self.resting.get(name).is_none_or(|until| *until <= now)
        };
        let ready = |(name, standby): &(&InstanceName, &Standby)| {
            may(name) && !standby.leaving && holds(standby, seen.committed)
        };
        let ready = seen.standbys.iter().find(ready);
        let Some((name, standby)) = ready.filter(|_| self.joining.is_none()) else { return Step::Nothing };
        self.joining = Some(Joining { name: name.clone(), disk: standby.disk.clone(), since: now });
        self.required = self.wanted();
        Step::Require(self.required.clone())
    }

    /// One that stalls before it is a member must not stall pushes. After a write that may name it, only another write
    /// can end that.
    fn give_up_joining(&mut self, now: Duration, seen: &MasterView) {
        let Some(Joining { name, disk, since }) = &self.joining else { return };
        let here = seen.standbys.get(name).is_some_and(|standby| standby.disk == *disk && !standby.leaving);
        let stalls = !here || now.saturating_sub(*since) >= PATIENCE;
        if stalls && self.doubt.is_empty() {
            self.resting.insert(name.clone(), now + PATIENCE);
            self.joining = None;
        }
    }

    fn is_late(&self, name: &InstanceName, now: Duration) -> bool {
        self.late.get(name).is_some_and(|(_, since)| now.saturating_sub(*since) >= PATIENCE)
    }

    fn note_late(&mut self, now: Duration, seen: &MasterView) {
        let state = &self.known.value;
        self.late.retain(|name, _| state.in_sync.contains(name));
        for name in &state.in_sync {
            let has = |ends: PerLog<Offset>| {
                seen.standbys.get(name).is_some_and(|standby| {
                    state.disks.get(name).is_none_or(|meant| *meant == standby.disk) && holds(standby, ends)
                })
            };
            if self.late.get(name).is_some_and(|(ends, _)| has(*ends)) {
                self.late.remove(name);
            }
            if !has(seen.ends) {
                self.late.entry(name.clone()).or_insert((seen.ends, now));
            }
        }
    }
}

fn holds(standby: &Standby, through: PerLog<Offset>) -> bool {
    standby.stored.zip(through).all(|(stored, through)| stored >= through)
}

fn known(members: &Members) -> BTreeMap<InstanceName, DiskId> {
    members.iter().filter_map(|(name, disk)| Some((name.clone(), disk.clone()?))).collect()
}

#[cfg(test)]
mod tests;
