//! The aggregator's memory and what comes in.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protocol::stream::Progress;
use protocol::{InstanceName, Offset, Record};

use crate::backlog::Backlog;
use crate::lag::Commits;
use crate::mirror::Mirror;
use crate::{Committed, Options};

/// See the crate's words.
pub struct Core {
    pub(crate) options: Options,
    pub(crate) now: Duration,
    pub(crate) backlog: Backlog,
    pub(crate) commits: Commits,
    pub(crate) mirrors: BTreeMap<InstanceName, Mirror>,
    /// Everything up to this place of the publication log has been taken.
    pub(crate) publication: Offset,
    /// Records of the batch under way that have not come back.
    pub(crate) in_flight: VecDeque<Record>,
    pub(crate) at_floor: bool,
    /// When the balancer last said what it uses.
    pub(crate) reported: Option<Duration>,
    /// Something happened since `batch` last found nothing to do.
    pub(crate) changed: bool,
}

impl Core {
    /// `replication` and `publication`: the last entries before the retained starts of the logs; everything up to
    /// there is published. Feed both logs up to their committed ends before the first `batch`.
    pub fn new(options: Options, replication: Offset, publication: Offset, now: Duration) -> Core {
        Core {
            options,
            now,
            backlog: Backlog::new(replication),
            commits: Commits::default(),
            mirrors: BTreeMap::new(),
            publication,
            in_flight: VecDeque::new(),
            at_floor: false,
            reported: None,
            changed: true,
        }
    }

    pub(crate) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.changed = true;
    }

    /// The next committed record of the replication log; one that was taken before changes nothing.
    pub fn committed(&mut self, record: Committed, now: Duration) {
        self.advance(now);
        self.backlog.commit(record);
        self.commits.note(record.offset, self.now);
    }

    /// The next committed entry of the publication log, of the replay or of an own batch; one that was taken before
    /// changes nothing.
    pub fn publication(&mut self, place: Offset, record: &Record, now: Duration) {
        if place <= self.publication {
            return;
        }
        self.advance(now);
        self.publication = place;
        let own = self.in_flight.front() == Some(record);
        if own {
            self.in_flight.pop_front();
        }
        match record {
            Record::Released(released) => released.offsets.iter().for_each(|o| self.backlog.release(*o, place)),
            Record::Published(published) => published.offsets.iter().for_each(|o| self.backlog.publish(*o)),
            Record::MirrorActive(active) => self.activate(&active.mirror, place, own),
            Record::MirrorInactive(inactive) => {
                if let Some(mirror) = self.mirrors.get_mut(&inactive.mirror) {
                    (mirror.active, mirror.leaving) = (None, None);
                    mirror.joining.clear();
                }
            }
            Record::GenerationStarted(_)
            | Record::RepositoryCreated(_)
            | Record::RepositoryUpdated(_)
            | Record::RepositoryDeleted(_)
            | Record::Push(_)
            | Record::Strip(_)
            | Record::CloneBundlesChanged(_)
            | Record::Skip(_)
            | Record::SettingsChanged(_)
            | Record::Unknown(_) => {}
        }
    }

    /// Activates a mirror. What a replay says to be active may have been so for long, and its `/readyz` tells the
    /// rest.
    fn activate(&mut self, name: &InstanceName, place: Offset, own: bool) {
        let newest = if own { self.backlog.newest_released() } else { BTreeMap::new() };
        let mirror = self.mirror(name);
        if mirror.active.replace(place).is_none() {
            mirror.joining = newest;
            mirror.update_joining();
        }
    }

    fn mirror(&mut self, name: &InstanceName) -> &mut Mirror {
        let now = self.now;
        self.mirrors.entry(name.clone()).or_insert_with(|| Mirror { since: now, ..Mirror::default() })
    }

    pub fn mirror_connected(&mut self, name: &InstanceName, now: Duration) {
        self.advance(now);
        let since = self.now;
        let mirror = self.mirror(name);
        (mirror.connected, mirror.heard, mirror.since, mirror.removed) = (true, false, since, false);
    }

    pub fn mirror_lost(&mut self, name: &InstanceName, now: Duration) {
        self.advance(now);
        let since = self.now;
        if let Some(mirror) = self.mirrors.get_mut(name) {
            (mirror.connected, mirror.heard, mirror.since) = (false, false, since);
        }
    }

    /// Levels, not differences: the newest word of the newest connection counts.
    pub fn progress(&mut self, name: &InstanceName, progress: Progress, now: Duration) {
        self.advance(now);
        let mirror = self.mirror(name);
        mirror.heard = mirror.connected;
        mirror.levels = Some(progress.into());
        mirror.update_joining();
    }

    /// At least every second.
    pub fn tick(&mut self, now: Duration) {
        self.advance(now);
        self.judge();
        self.forget();
    }

    /// A mirror that is neither active nor connected is nobody's concern after a while, one that is gone for good at
    /// once.
    fn forget(&mut self) {
        const FORGET_AFTER: Duration = Duration::from_secs(600);
        let now = self.now;
        self.mirrors.retain(|_, mirror| {
            let returns = !mirror.removed && now.saturating_sub(mirror.since) < FORGET_AFTER;
            mirror.active.is_some() || mirror.connected || returns
        });
    }
}
