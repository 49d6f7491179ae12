//! How far a mirror is behind, in records and in time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use protocol::Offset;

use crate::backlog::Backlog;
use crate::mirror::{Level, Mirror, Vote};

/// Commits this close together count as one moment.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
const MAX_SAMPLES: usize = 8_192;

/// Beyond this many the exact number does not matter.
const MAX_COUNTED_RECORDS: u64 = 100_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lag {
    pub records: u64,
    pub time: Duration,
}

/// When what was committed.
#[derive(Default)]
pub(crate) struct Commits {
    samples: VecDeque<(Duration, Offset)>,
}

impl Commits {
    pub fn note(&mut self, offset: Offset, now: Duration) {
        match self.samples.back_mut() {
            Some((at, newest)) if now.saturating_sub(*at) < SAMPLE_EVERY => *newest = offset,
            Some(_) | None => self.samples.push_back((now, offset)),
        }
        if self.samples.len() > MAX_SAMPLES {
            self.samples.pop_front();
        }
    }

    fn age(&self, offset: Offset, now: Duration) -> Duration {
        let place = self.samples.partition_point(|(_, newest)| *newest < offset);
        self.samples.get(place).map_or(Duration::ZERO, |(at, _)| now.saturating_sub(*at))
    }
}

/// Records that this mirror could have applied, or shown, and has not.
pub(crate) fn lag(mirror: &Mirror, backlog: &Backlog, commits: &Commits, now: Duration) -> Lag {
    let (applied, shown) = match &mirror.levels {
        Some(levels) => (levels.applied_through, levels.shown_through),
        None => (Offset::ZERO, Offset::ZERO),
    };
    // Published ones are no longer known one by one.
    let published = backlog.published_through();
    let mut records = published.0.saturating_sub(applied.0);
    let mut first = (records > 0).then(|| applied.next());
    let mut blocked = BTreeSet::new();
    for record in backlog.after(applied.min(shown).max(published)) {
        let Some(repository) = record.repository.filter(|id| !blocked.contains(id)) else { continue };
        let released = backlog.is_released(record.offset);
        let level = if released { Level::Shown } else { Level::Applied };
        match mirror.last_word(repository, record.offset, level) {
            Vote::NotYet => {
                records += 1;
                first.get_or_insert(record.offset);
            }
            Vote::Yes if record.barrier && !released => {
                blocked.insert(repository);
            }
            Vote::Yes | Vote::Abstains => {}
        }
        if records > MAX_COUNTED_RECORDS {
            break;
        }
    }
    Lag { records, time: first.map_or(Duration::ZERO, |offset| commits.age(offset, now)) }
}
