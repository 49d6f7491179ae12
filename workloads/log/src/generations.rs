//! Generations: which one wrote which part of a log, and where two logs part.

use protocol::{Generation, Offset};

/// The extent of a log and the runs of its generations. Small: one pair per reign that the log still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generations {
    start: Offset,
    end: Offset,
    /// Generation of the record before `start`; 0 when there is none or it is not known.
    before: Generation,
    /// Each generation with its first offset, ascending in both.
    runs: Vec<(Generation, Offset)>,
}

impl Generations {
    /// An empty log whose first record will be `start`.
    pub fn empty(start: Offset, before: Generation) -> Generations {
        Generations { start, end: start.previous(), before, runs: Vec::new() }
    }

    /// The first record still held; `end + 1` when there is none.
    pub fn start(&self) -> Offset {
        self.start
    }

    pub fn end(&self) -> Offset {
        self.end
    }

    /// Answers the generation of the last record, or of the one before `start` when the log is empty.
    pub fn last(&self) -> Generation {
        self.runs.last().map_or(self.before, |run| run.0)
    }

    /// None outside of `start - 1 ..= end`; 0 when not known.
    pub fn at(&self, offset: Offset) -> Option<Generation> {
        if offset > self.end || offset.next() < self.start {
            return None;
        }
        if offset < self.start {
            return Some(self.before);
        }
        let after = self.runs.partition_point(|run| run.1 <= offset);
        after.checked_sub(1).map(|index| self.runs[index].0)
    }

    /// The next record is of this generation, which is not lower than the last one's.
    pub fn push(&mut self, generation: Generation) {
        self.end = self.end.next();
        if self.runs.last().is_none_or(|run| run.0 < generation) {
            self.runs.push((generation, self.end));
        }
    }

    /// Forgets `from` and everything behind it.
    pub fn truncate(&mut self, from: Offset) {
        self.end = self.end.min(from.previous());
        self.runs.retain(|run| run.1 <= self.end);
    }

    /// Forgets everything below `start`.
    pub fn trim(&mut self, start: Offset) {
        if start <= self.start || start > self.end.next() {
            return;
        }
        self.before = self.at(start.previous()).unwrap_or_default();
        self.start = start;
        let keep = self.runs.partition_point(|run| run.1 <= start);
        self.runs.drain(..keep.saturating_sub(1));
        if let Some(run) = self.runs.first_mut() {
            run.1 = run.1.max(start);
        }
        let end = self.end;
        self.runs.retain(|run| run.1 <= end);
    }

    /// Where a follower must drop its records from, whose record before `from` has generation `theirs`; None when the
    /// two logs agree below `from`. One generation has one writer, so two logs with the same generation at one offset
    /// are equal up to there (Kafka's leader epochs, KIP-101). The answer is always below `from`; the follower drops,
    /// then asks again until the answer is None.
    pub fn fork(&self, from: Offset, theirs: Generation) -> Option<Offset> {
        let previous = from.previous();
        if theirs == Generation(0) || previous == Offset::ZERO || previous.next() < self.start {
            // Nothing to compare, or no longer held here: a subscription answers `OutOfRange`.
            return None;
        }
        if self.at(previous) == Some(theirs) {
            return None;
        }
        let after = self.runs.partition_point(|run| run.0 <= theirs);
        let end_of_agreement = match self.runs.get(after) {
            Some(newer) => newer.1.previous(),
            None => self.end,
        };
        Some(previous.min(end_of_agreement.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generation of each record from offset 1 on.
    fn log(generations: &[u64]) -> Generations {
        let mut log = Generations::empty(Offset(1), Generation(0));
        generations.iter().for_each(|g| log.push(Generation(*g)));
        log
    }

    /// Lets a follower ask until it agrees; answers how many of its records are left.
    fn agree(master: &Generations, theirs: &[u64]) -> usize {
        let mut left = theirs.len();
        loop {
            let last = left.checked_sub(1).map_or(0, |i| theirs[i]);
            match master.fork(Offset(left as u64 + 1), Generation(last)) {
                None => return left,
                Some(from) => {
                    assert!(from.0 <= left as u64, "no progress");
                    left = from.0 as usize - 1;
                }
            }
        }
    }

    #[test]
    fn a_follower_keeps_exactly_the_common_part() {
        let cases: [(&[u64], &[u64]); 10] = [
            (&[], &[]),
            (&[1, 1, 1], &[1, 1]),
            (&[1, 1], &[1, 1, 1]),
            (&[1, 1, 3], &[1, 1, 2, 2]),
            (&[1, 2, 2, 2, 2, 5], &[1, 3, 3]),
            (&[1, 2, 2, 2, 2, 5, 5], &[1, 3, 3, 3, 3, 3, 3, 3]),
            (&[4, 4], &[1, 1, 1]),
            (&[1, 1], &[4, 4, 4]),
            (&[1, 2, 3], &[1, 2, 3]),
            (&[1, 1, 1, 1], &[]),
        ];
        for (ours, theirs) in cases {
            let common = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
            assert_eq!(agree(&log(ours), theirs), common, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn what_was_trimmed_is_not_guessed() {
        let mut ours = log(&[1, 1, 2, 2, 3]);
        ours.trim(Offset(4));
        assert_eq!((ours.start(), ours.at(Offset(3)), ours.at(Offset(2))), (Offset(4), Some(Generation(2)), None));
        assert_eq!(ours.fork(Offset(4), Generation(2)), None);
        assert_eq!(ours.fork(Offset(4), Generation(1)), Some(Offset(3)));
        assert_eq!(ours.fork(Offset(2), Generation(9)), None);
        ours.trim(Offset(6));
        assert_eq!((ours.start(), ours.end(), ours.last()), (Offset(6), Offset(5), Generation(3)));
    }

    #[test]
    fn truncating_forgets_whole_generations() {
        let mut ours = log(&[1, 1, 2, 2, 3]);
        ours.truncate(Offset(3));
        assert_eq!(ours, log(&[1, 1]));
        ours.truncate(Offset(1));
        assert_eq!(ours, log(&[]));
    }
}
