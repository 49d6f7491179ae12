//! State: what there is at one moment.

use std::hash::{Hash, Hasher};

use crate::Bounds;
use crate::set::{INSTANCES, Id, Set};

/// No history has more pushes.
pub const MAX_PUSHES: usize = 3;

/// A push as one generation wrote it. One generation has one writer, so that in one place of a log the generation says
/// which push it is; `push` tells more only where a planted mistake has two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// From 1; less than 16.
    pub generation: u8,
    pub push: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    len: u8,
    entries: [Entry; MAX_PUSHES],
}

impl Log {
    pub fn len(&self) -> u8 {
        self.len
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.len)]
    }

    pub fn last(&self) -> Option<Entry> {
        self.entries().last().copied()
    }

    pub fn push(&mut self, entry: Entry) {
        self.entries[usize::from(self.len)] = entry;
        self.len += 1;
    }

    pub fn truncate(&mut self, len: u8) {
        if len < self.len {
            self.entries[usize::from(len)..].fill(Entry::default());
            self.len = len;
        }
    }

    /// How much of it another log has too, as far as generations tell.
    pub fn common(&self, other: &Log) -> u8 {
        let pairs = self.entries().iter().zip(other.entries());
        pairs.take_while(|(ours, theirs)| ours.generation == theirs.generation).count() as u8
    }

    pub fn starts_with(&self, other: &Log) -> bool {
        self.entries().starts_with(other.entries())
    }

    fn packed(&self) -> Packed {
        let entries = self.entries.iter();
        entries.fold(Packed::default(), |packed, entry| packed.with(4, entry.generation).with(2, entry.push))
    }
}

/// Small numbers side by side: hashing millions of states is most of the work.
#[derive(Clone, Copy, Default)]
pub struct Packed(pub u64);

impl Packed {
    pub fn with(self, bits: u32, value: u8) -> Packed {
        debug_assert!(u32::from(value) < 1 << bits);
        Packed(self.0 << bits | u64::from(value))
    }
}

/// Reign: what a master has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reign {
    pub generation: u8,
    /// Held by the register when it last answered.
    pub held: Set,
    /// Doubt: what it may hold since, by writes that were not answered.
    pub doubt: Set,
    /// Needed by a newcomer: all that was committed, also by others before this reign.
    pub needed: u8,
    /// How much of this log each other one has on disk.
    pub stored: [u8; INSTANCES],
}

impl Reign {
    pub fn required(&self) -> Set {
        self.held.union(self.doubt)
    }

    /// Answers whether it will never commit anything more: see `likeness`.
    pub fn is_over(&self) -> bool {
        self.held == Set::all()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// There: its disk exists.
    pub there: bool,
    pub log: Log,
    /// Entries that survive a power loss.
    pub durable: u8,
    /// Older generations are refused.
    pub seal: u8,
    pub reign: Option<Reign>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    pub generation: u8,
    /// None: frozen by a promotion.
    pub master: Option<Id>,
    /// Before it was frozen.
    pub previous: Option<Id>,
    pub set: Set,
    /// The master that is named has not opened since.
    pub named: bool,
    /// A master's write that nobody waits for any more and that may still take place. Every other write makes it fail.
    pub late: Option<Set>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub pushes: u8,
    pub promotions: u8,
    pub reopenings: u8,
    pub lost_disks: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub register: Register,
    pub instances: [Instance; INSTANCES],
    /// Everything that was ever committed by anyone.
    pub committed: Log,
    pub left: Left,
    /// Something else was committed at the same place, or a master begins without a committed entry.
    pub broken: bool,
}

impl Hash for Instance {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let packed = self.log.packed().with(1, u8::from(self.there)).with(2, self.durable).with(4, self.seal);
        packed.0.hash(hasher);
        let Some(reign) = &self.reign else { return hasher.write_u64(0) };
        let packed = Packed::default().with(4, reign.generation).with(2, reign.needed);
        let packed = packed.with(4, reign.held.bits()).with(4, reign.doubt.bits());
        reign.stored.iter().fold(packed, |packed, stored| packed.with(2, *stored)).0.hash(hasher);
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.instances.iter().for_each(|instance| instance.hash(hasher));
        let Register { generation, master, previous, set, named, late } = &self.register;
        let id = |id: Option<Id>| id.map_or(0, |id| id + 1);
        let packed = Packed::default().with(4, *generation).with(3, id(*master)).with(3, id(*previous));
        let packed = packed.with(4, set.bits()).with(1, u8::from(*named));
        let packed = packed.with(5, late.map_or(0, |set| set.bits() + 1));
        let Left { pushes, promotions, reopenings, lost_disks } = &self.left;
        let packed = packed.with(2, *pushes).with(2, *promotions).with(2, *reopenings).with(2, *lost_disks);
        packed.with(1, u8::from(self.broken)).0.hash(hasher);
        self.committed.packed().0.hash(hasher);
    }
}

impl State {
    /// A master with two standbys in the set, and a spare disk.
    pub fn new(bounds: Bounds) -> State {
        let set = Set::of([1, 2]);
        let register = Register { generation: 1, master: Some(0), set, ..Register::default() };
        let mut instances: [Instance; INSTANCES] = Default::default();
        instances[..3].iter_mut().for_each(|instance| (instance.there, instance.seal) = (true, 1));
        instances[0].reign =
            Some(Reign { generation: 1, held: set, doubt: Set::default(), needed: 0, stored: [0; INSTANCES] });
        let Bounds { pushes, promotions, reopenings, lost_disks } = bounds;
        let left = Left { pushes, promotions, reopenings, lost_disks };
        State { register, instances, committed: Log::default(), left, broken: false }
    }

    pub fn instance(&self, id: Id) -> &Instance {
        &self.instances[usize::from(id)]
    }

    pub fn instance_mut(&mut self, id: Id) -> &mut Instance {
        &mut self.instances[usize::from(id)]
    }

    pub fn reign_mut(&mut self, id: Id) -> Option<&mut Reign> {
        self.instance_mut(id).reign.as_mut()
    }

    /// The register names it, in the generation of its reign.
    pub fn holds(&self, id: Id) -> bool {
        let generation = self.instance(id).reign.map(|reign| reign.generation);
        self.register.master == Some(id) && generation == Some(self.register.generation)
    }

    /// Answers whether what the follower says may still move something: not when the reign is over and its commits
    /// need others.
    pub fn listens(&self, master: Id, follower: Id) -> bool {
        self.holds(master)
            || self.instance(master).reign.is_some_and(|reign| reign.required().contains(follower) && !reign.is_over())
    }
}
