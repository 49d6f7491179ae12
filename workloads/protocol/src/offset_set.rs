//! A set of offsets that is mostly contiguous, kept as ranges: releases arrive nearly in order, by the million.

use std::collections::BTreeMap;

use crate::Offset;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetSet {
    /// First offset of each range, with its last; ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl OffsetSet {
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn contains(&self, offset: Offset) -> bool {
        self.ranges.range(..=offset.0).next_back().is_some_and(|(_, last)| *last >= offset.0)
    }

    pub fn last(&self) -> Option<Offset> {
        self.ranges.last_key_value().map(|(_, last)| Offset(*last))
    }

    pub fn insert(&mut self, offset: Offset) {
        if self.contains(offset) {
            return;
        }
        let (mut first, mut last) = (offset.0, offset.0);
        if let Some((below, end)) = self.ranges.range(..offset.0).next_back()
            && end.saturating_add(1) == offset.0
        {
            first = *below;
        }
        if let Some(end) = self.ranges.remove(&offset.0.saturating_add(1)) {
            last = end;
        }
        self.ranges.insert(first, last);
    }

    /// Forgets everything up to and including this offset.
    pub fn remove_through(&mut self, through: Offset) {
        while let Some(range) = self.ranges.first_entry() {
            let (first, last) = (*range.key(), *range.get());
            if first > through.0 {
                return;
            }
            range.remove();
            if last > through.0 {
                self.ranges.insert(through.0 + 1, last);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_are_cut() {
        let mut set = OffsetSet::default();
        for offset in [5, 3, 4, 9, 1, 4] {
            set.insert(Offset(offset));
        }
        assert_eq!(set.ranges, BTreeMap::from([(1, 1), (3, 5), (9, 9)]));
        assert!(set.contains(Offset(4)) && !set.contains(Offset(2)) && !set.contains(Offset(6)));
        assert_eq!(set.last(), Some(Offset(9)));
        set.remove_through(Offset(4));
        assert_eq!(set.ranges, BTreeMap::from([(5, 5), (9, 9)]));
        set.remove_through(Offset(9));
        assert!(set.is_empty());
    }
}
