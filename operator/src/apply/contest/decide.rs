//! Decides what is done when somebody else changes an object of ours again and again. Pure: time comes in as the time
//! since this process's start.
//!
//! A person who tries something out is put right at once. Another controller that wants the same field for itself
//! would be answered without end, at the API server's cost: it is answered later each time.

use std::collections::HashMap;
use std::time::Duration;

/// So many times in a row it is put right at once.
const AT_ONCE: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LAST_WAIT: Duration = Duration::from_secs(300);
/// Nothing was put right for so long: it is peace. Longer than the last wait.
const PEACE: Duration = Duration::from_secs(600);

/// Kind, namespace, name.
pub type Object = (String, String, String);

#[derive(Debug, Default)]
pub struct Contests(HashMap<Object, Contest>);

#[derive(Debug)]
struct Contest {
    repairs: u32,
    last: Duration,
}

impl Contests {
    /// The object is not any more as it was written. True: put it right now, which counts; false: let it be for now.
    pub fn may_repair(&mut self, now: Duration, object: Object) -> bool {
        self.0.retain(|_, contest| now.saturating_sub(contest.last) < PEACE);
        let contest = self.0.entry(object).or_insert(Contest { repairs: 0, last: now });
        if contest.repairs >= AT_ONCE && now.saturating_sub(contest.last) < wait(contest.repairs) {
            return false;
        }
        contest.repairs += 1;
        contest.last = now;
        true
    }

    /// Writing it again has changed nothing: the API server only says it otherwise than we do.
    pub fn is_none(&mut self, object: &Object) {
        self.0.remove(object);
    }
}

fn wait(repairs: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << repairs.saturating_sub(AT_ONCE).min(16)).min(LAST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> Object {
        ("Service".to_owned(), "code".to_owned(), name.to_owned())
    }

    /// When it is put right within so many seconds, looked at every second.
    fn repairs(contests: &mut Contests, seconds: std::ops::Range<u64>) -> Vec<u64> {
        seconds.filter(|second| contests.may_repair(Duration::from_secs(*second), object("a"))).collect()
    }

    #[test]
    fn a_contested_object_is_put_right_later_each_time_and_others_at_once() {
        let mut contests = Contests::default();
        assert_eq!(repairs(&mut contests, 0..200), [0, 1, 2, 3, 4, 14, 34, 74, 154]);
        assert!(contests.may_repair(Duration::from_secs(155), object("b")));
        assert_eq!(repairs(&mut contests, 200..1200), [314, 614, 914], "at most five minutes");
    }

    #[test]
    fn what_the_api_server_only_says_otherwise_is_no_contest() {
        let mut contests = Contests::default();
        for second in 0..20 {
            assert!(contests.may_repair(Duration::from_secs(second), object("a")));
            contests.is_none(&object("a"));
        }
    }

    #[test]
    fn after_a_time_of_peace_it_is_put_right_at_once() {
        let mut contests = Contests::default();
        assert_eq!(repairs(&mut contests, 0..10).len(), 5);
        assert_eq!(repairs(&mut contests, 603..604).len(), 1, "not long enough, but long enough to try");
        assert_eq!(repairs(&mut contests, 1203..1213).len(), 5);
    }
}
