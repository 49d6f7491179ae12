//! Changes of the repositories' status: who asks again and again is not told everything each time.

use std::collections::{HashMap, HashSet, VecDeque};

use follower::LaneTable;
use protocol::status::{Changes, Cursor, RepositoryStatus};
use protocol::{CreationId, Generation, RepositoryPath};

/// Repositories that are gone; whoever asks for what was before them is told everything.
const GONE: usize = 1_000;

#[derive(Default)]
pub struct KnownRepositories {
    newest: u64,
    /// With the change that made each what it is.
    known: HashMap<CreationId, (u64, RepositoryStatus)>,
    gone: VecDeque<(u64, RepositoryPath)>,
    /// Forgotten: what has gone up to this change is not known any more.
    forgotten: u64,
    /// Touched: what may differ from what is known, beside the lanes that have changed after `lanes`.
    touched: HashSet<CreationId>,
    lanes: u64,
}

impl KnownRepositories {
    /// These may have changed.
    pub fn touch(&mut self, ids: impl IntoIterator<Item = CreationId>) {
        self.touched.extend(ids);
    }

    /// Lists what may have changed since this was asked the last time.
    pub fn touched(&mut self, table: &LaneTable) -> HashSet<CreationId> {
        let (newest, lanes) = table.changed_since(self.lanes);
        self.lanes = newest;
        self.touched.extend(lanes);
        std::mem::take(&mut self.touched)
    }

    /// Compares those that may have changed with what they are now; None: it is gone.
    pub fn take(&mut self, now: impl IntoIterator<Item = (CreationId, Option<RepositoryStatus>)>) {
        let change = self.newest + 1;
        for (id, now) in now {
            match now {
                Some(now) => {
                    if self.known.get(&id).is_none_or(|(_, before)| *before != now) {
                        self.newest = change;
                        self.known.insert(id, (change, now));
                    }
                }
                None => {
                    if let Some((_, before)) = self.known.remove(&id) {
                        self.newest = change;
                        self.gone.push_back((change, before.path));
                    }
                }
            }
        }
        while self.gone.len() > GONE {
            self.forgotten = self.gone.pop_front().map_or(self.forgotten, |(change, _)| change);
        }
    }

    /// For whoever asks with this cursor.
    pub fn answer(&self, since: Cursor, generation: Generation) -> (Vec<RepositoryStatus>, Changes) {
        let part = self.since(since.change).filter(|_| since.generation == generation);
        let whole = part.is_none();
        let (repositories, gone) = part.unwrap_or_else(|| (self.after(0), Vec::new()));
        let cursor = Cursor { generation, change: self.newest };
        (repositories, Changes { cursor, whole, gone })
    }

    /// Lists what has changed, and what is gone; None: it is not known any more.
    fn since(&self, change: u64) -> Option<(Vec<RepositoryStatus>, Vec<RepositoryPath>)> {
        if change < self.forgotten || change > self.newest {
            return None;
        }
        let changed = self.after(change);
        // A path that was there again is told as changed.
        let back: HashSet<&RepositoryPath> = changed.iter().map(|one| &one.path).collect();
        let gone = self.gone.iter().filter(|(when, path)| *when > change && !back.contains(path));
        let gone = gone.map(|(_, path)| path.clone()).collect();
        Some((changed, gone))
    }

    fn after(&self, change: u64) -> Vec<RepositoryStatus> {
        self.known.values().filter(|(when, _)| *when > change).map(|(_, one)| one.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::Offset;

    use super::*;

    /// An id stands for a path.
    fn one(number: u64, path: &str, published: u64) -> (CreationId, Option<RepositoryStatus>) {
        let (path, published) = (path.parse().unwrap(), Offset(published));
        let newest = published;
        let status = RepositoryStatus { path, tip: None, heads: 0, changesets: 0, published, newest, last_push: None };
        (CreationId(number), Some(status))
    }

    fn gone(number: u64) -> (CreationId, Option<RepositoryStatus>) {
        (CreationId(number), None)
    }

    fn words(answer: Option<(Vec<RepositoryStatus>, Vec<RepositoryPath>)>) -> Option<(Vec<String>, Vec<String>)> {
        let (changed, gone) = answer?;
        let mut changed: Vec<String> = changed.iter().map(|one| format!("{} {}", one.path, one.published)).collect();
        changed.sort();
        Some((changed, gone.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn whoever_asks_again_is_told_what_has_changed_since() {
        let mut seen = KnownRepositories::default();
        seen.take([one(1, "a", 1), one(2, "b", 1)]);
        assert_eq!(seen.after(0).len(), 2);
        let first = seen.newest;
        seen.take([one(1, "a", 1), one(2, "b", 1), gone(9)]);
        assert_eq!(words(seen.since(first)), Some((vec![], vec![])));
        assert_eq!(seen.newest, first);
        seen.take([one(1, "a", 2), gone(2), one(3, "c", 3)]);
        let second = seen.newest;
        assert_eq!(words(seen.since(first)), Some((vec!["a 2".to_owned(), "c 3".to_owned()], vec!["b".to_owned()])));
        assert_eq!(words(seen.since(second)), Some((vec![], vec![])));
        seen.take([gone(3), one(4, "b", 4)]);
        let since_first = words(seen.since(first)).unwrap();
        assert_eq!(since_first, (vec!["a 2".to_owned(), "b 4".to_owned()], vec!["c".to_owned()]), "b is there again");
        assert_eq!(words(seen.since(second)).unwrap().0, ["b 4"]);
        assert_eq!(words(seen.since(seen.newest + 1)), None, "of another process");
    }

    #[test]
    fn what_went_long_ago_is_not_told_one_by_one() {
        let mut seen = KnownRepositories::default();
        let count = GONE as u64 + 10;
        seen.take((0..count).map(|number| one(number, &format!("r{number}"), 1)));
        let first = seen.newest;
        seen.take((0..5).map(gone));
        let second = seen.newest;
        seen.take((5..count).map(gone));
        assert_eq!(words(seen.since(first)), None);
        assert_eq!(seen.since(second), None, "some of them went with the last change, and not all are known");
        assert_eq!(words(seen.since(seen.newest)), Some((vec![], vec![])));
    }
}
