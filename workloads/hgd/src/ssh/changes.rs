//! What has changed of the repositories' status: who asks again and again is not told everything each time.

use std::collections::{HashMap, HashSet, VecDeque};

use protocol::RepositoryPath;
use protocol::status::RepositoryStatus;

/// Repositories that are gone; whoever asks for what was before them is told everything.
const GONE: usize = 1_000;

#[derive(Default)]
pub struct Seen {
    newest: u64,
    /// With the change that made each what it is.
    known: HashMap<RepositoryPath, (u64, RepositoryStatus)>,
    gone: VecDeque<(u64, RepositoryPath)>,
    /// What has gone up to this change is not known any more.
    forgotten: u64,
}

impl Seen {
    /// The last change.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Compares with what there is now.
    pub fn take(&mut self, now: Vec<RepositoryStatus>) {
        let (change, count) = (self.newest + 1, now.len());
        if self.known.len() + now.len() > 0 {
            let there: HashSet<&RepositoryPath> = now.iter().map(|one| &one.path).collect();
            let gone = self.known.extract_if(|path, _| !there.contains(path)).map(|(path, _)| (change, path));
            self.gone.extend(gone);
        }
        let mut changed = self.gone.back().is_some_and(|(last, _)| *last == change);
        for one in now {
            if self.known.get(&one.path).is_none_or(|(_, before)| *before != one) {
                changed = true;
                self.known.insert(one.path.clone(), (change, one));
            }
        }
        debug_assert_eq!(self.known.len(), count, "a path is named twice");
        while self.gone.len() > GONE {
            self.forgotten = self.gone.pop_front().map_or(self.forgotten, |(change, _)| change);
        }
        if changed {
            self.newest = change;
        }
    }

    /// What has changed, and what is gone; None: it is not known any more.
    pub fn since(&self, change: u64) -> Option<(Vec<RepositoryStatus>, Vec<RepositoryPath>)> {
        if change < self.forgotten || change > self.newest {
            return None;
        }
        let gone = self.gone.iter().filter(|(when, path)| *when > change && !self.known.contains_key(path));
        Some((self.after(change), gone.map(|(_, path)| path.clone()).collect()))
    }

    pub fn all(&self) -> Vec<RepositoryStatus> {
        self.after(0)
    }

    fn after(&self, change: u64) -> Vec<RepositoryStatus> {
        self.known.values().filter(|(when, _)| *when > change).map(|(_, one)| one.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::Offset;

    use super::*;

    fn one(path: &str, published: u64) -> RepositoryStatus {
        let (path, published) = (path.parse().unwrap(), Offset(published));
        let newest = published;
        RepositoryStatus { path, tip: None, heads: 0, changesets: 0, published, newest, last_push: None }
    }

    fn words(answer: Option<(Vec<RepositoryStatus>, Vec<RepositoryPath>)>) -> Option<(Vec<String>, Vec<String>)> {
        let (changed, gone) = answer?;
        let mut changed: Vec<String> = changed.iter().map(|one| format!("{} {}", one.path, one.published)).collect();
        changed.sort();
        Some((changed, gone.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn whoever_asks_again_is_told_what_has_changed_since() {
        let mut seen = Seen::default();
        seen.take(vec![one("a", 1), one("b", 1)]);
        assert_eq!(seen.all().len(), 2);
        let first = seen.newest();
        seen.take(vec![one("a", 1), one("b", 1)]);
        assert_eq!(words(seen.since(first)), Some((vec![], vec![])));
        assert_eq!(seen.newest(), first);
        seen.take(vec![one("a", 2), one("c", 3)]);
        let second = seen.newest();
        assert_eq!(words(seen.since(first)), Some((vec!["a 2".to_owned(), "c 3".to_owned()], vec!["b".to_owned()])));
        assert_eq!(words(seen.since(second)), Some((vec![], vec![])));
        seen.take(vec![one("a", 2), one("b", 4)]);
        assert_eq!(words(seen.since(first)).unwrap().1, ["c"], "b is there again");
        assert_eq!(words(seen.since(seen.newest() + 1)), None, "of another process");
    }

    #[test]
    fn what_went_long_ago_is_not_told_one_by_one() {
        let mut seen = Seen::default();
        let many = |from: usize| (from..GONE + 10).map(|number| one(&format!("r{number}"), 1)).collect::<Vec<_>>();
        seen.take(many(0));
        let first = seen.newest();
        seen.take(many(5));
        let second = seen.newest();
        seen.take(Vec::new());
        assert_eq!(words(seen.since(first)), None);
        assert_eq!(seen.since(second), None, "some of them went with the last change, and not all are known");
        assert_eq!(words(seen.since(seen.newest())), Some((vec![], vec![])));
    }
}
