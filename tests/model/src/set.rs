//! A set of instances.

/// An instance is its disk; another disk is another instance.
pub type Id = u8;

/// Three at a time, and one that takes the place of one whose disk is lost.
pub const INSTANCES: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u8);

impl Set {
    pub fn of(ids: impl IntoIterator<Item = Id>) -> Set {
        ids.into_iter().fold(Set::default(), Set::with)
    }

    pub fn all() -> Set {
        Set::of(0..INSTANCES as Id)
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    pub fn contains(self, id: Id) -> bool {
        self.0 & (1 << id) != 0
    }

    pub fn with(self, id: Id) -> Set {
        Set(self.0 | 1 << id)
    }

    pub fn without(self, id: Id) -> Set {
        Set(self.0 & !(1 << id))
    }

    pub fn union(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    pub fn ids(self) -> impl Iterator<Item = Id> {
        (0..INSTANCES as Id).filter(move |id| self.contains(*id))
    }
}
