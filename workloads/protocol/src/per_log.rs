//! One value for each of the two logs.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::LogName;

/// One value for each log. In JSON an array of two, the replication log's first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(T, T)", into = "(T, T)", bound(serialize = "T: Clone + Serialize"))]
pub struct PerLog<T> {
    pub replication: T,
    pub publication: T,
}

impl<T> PerLog<T> {
    pub const fn new(replication: T, publication: T) -> PerLog<T> {
        PerLog { replication, publication }
    }

    pub fn of(mut value: impl FnMut(LogName) -> T) -> PerLog<T> {
        PerLog { replication: value(LogName::Replication), publication: value(LogName::Publication) }
    }

    pub fn as_ref(&self) -> PerLog<&T> {
        PerLog { replication: &self.replication, publication: &self.publication }
    }

    pub fn as_mut(&mut self) -> PerLog<&mut T> {
        PerLog { replication: &mut self.replication, publication: &mut self.publication }
    }

    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> PerLog<U> {
        PerLog { replication: change(self.replication), publication: change(self.publication) }
    }

    pub fn zip<U>(self, other: PerLog<U>) -> PerLog<(T, U)> {
        PerLog {
            replication: (self.replication, other.replication),
            publication: (self.publication, other.publication),
        }
    }

    pub fn all(self, mut holds: impl FnMut(T) -> bool) -> bool {
        holds(self.replication) && holds(self.publication)
    }
}

impl<T> Index<LogName> for PerLog<T> {
    type Output = T;

    fn index(&self, log: LogName) -> &T {
        match log {
            LogName::Replication => &self.replication,
            LogName::Publication => &self.publication,
        }
    }
}

impl<T> IndexMut<LogName> for PerLog<T> {
    fn index_mut(&mut self, log: LogName) -> &mut T {
        match log {
            LogName::Replication => &mut self.replication,
            LogName::Publication => &mut self.publication,
        }
    }
}

impl<T> IntoIterator for PerLog<T> {
    type Item = (LogName, T);
    type IntoIter = std::array::IntoIter<(LogName, T), 2>;

    fn into_iter(self) -> Self::IntoIter {
        [(LogName::Replication, self.replication), (LogName::Publication, self.publication)].into_iter()
    }
}

impl<T> From<(T, T)> for PerLog<T> {
    fn from((replication, publication): (T, T)) -> PerLog<T> {
        PerLog { replication, publication }
    }
}

impl<T> From<PerLog<T>> for (T, T) {
    fn from(PerLog { replication, publication }: PerLog<T>) -> (T, T) {
        (replication, publication)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_log_has_its_own_value() {
        let mut ends = PerLog::of(|log| log.directory());
        assert_eq!((ends[LogName::Replication], ends[LogName::Publication]), ("replication", "publication"));
        ends[LogName::Publication] = "shown";
        assert_eq!(ends, PerLog::new("replication", "shown"));
        let names: Vec<_> = ends.into_iter().collect();
        assert_eq!(names, [(LogName::Replication, "replication"), (LogName::Publication, "shown")]);
        let sums = PerLog::new(1, 2).zip(PerLog::new(3, 4)).map(|(a, b)| a + b);
        assert_eq!(sums, PerLog::new(4, 6));
        assert!(sums.all(|sum| sum > 3) && !sums.all(|sum| sum > 4));
    }

    #[test]
    fn in_json_it_is_an_array() {
        let text = serde_json::to_string(&PerLog::new(7, 9)).unwrap();
        assert_eq!(text, "[7,9]");
        assert_eq!(serde_json::from_str::<PerLog<i32>>(&text).unwrap(), PerLog::new(7, 9));
    }
}
