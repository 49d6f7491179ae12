//! Truth: what is committed, as the first who committed it had it. Every other instance must agree.

use std::collections::{BTreeMap, BTreeSet};

use aggregator::Committed;
use follower::lanes::LaneFacts;
use protocol::{CreationId, Entry, LogName, Offset, PerLog, Record, Registry};

use crate::store::pushed_at;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Init,
    Push,
    Strip(Offset),
    /// Mirrors drop the repository.
    End,
    /// Nothing that a repository's content shows.
    Other,
}

#[derive(Default)]
pub struct Truth {
    logs: PerLog<Vec<Entry>>,
    pub registry: Registry,
    /// The records of each repository, in order, and whether mirrors have to do with them.
    pub lanes: BTreeMap<CreationId, Vec<(Offset, Kind, bool)>>,
    pub released: BTreeSet<Offset>,
    pub published: BTreeSet<Offset>,
}

impl Truth {
    pub fn end(&self, log: LogName) -> Offset {
        Offset(self.logs[log].len() as u64)
    }

    pub fn get(&self, log: LogName, offset: Offset) -> Option<&Entry> {
        self.logs[log].get(usize::try_from(offset.0).ok()?.checked_sub(1)?)
    }

    pub fn agrees(&self, log: LogName, entry: &Entry) -> bool {
        self.get(log, entry.offset).is_some_and(|known| known == entry)
    }

    /// Takes a committed entry, or compares it with what is known.
    pub fn commit(&mut self, log: LogName, entry: &Entry) -> Result<(), String> {
        if entry.offset <= self.end(log) {
            return match self.agrees(log, entry) {
                true => Ok(()),
                false => {
                    let known = self.get(log, entry.offset).map(|known| known.generation);
                    let (offset, other) = (entry.offset, entry.generation);
                    Err(format!(
                        "one order: {log:?} {offset} is committed twice with different content: {known:?}, {other}"
                    ))
                }
            };
        }
        self.logs[log].push(entry.clone());
        let record = entry.record().map_err(|error| error.to_string())?;
        match log {
            LogName::Replication => self.fold(entry.offset, &record),
            LogName::Publication => {
                if let Record::Released(released) = &record {
                    self.released.extend(&released.offsets);
                }
                if let Record::Published(published) = &record {
                    self.published.extend(&published.offsets);
                }
            }
        }
        Ok(())
    }

    fn fold(&mut self, offset: Offset, record: &Record) {
        let (committed, _not_counted) = Committed::fold(&mut self.registry, offset, record);
        let Some(id) = committed.repository else { return };
        let kind = match record {
            Record::RepositoryCreated(_) => Kind::Init,
            Record::Push(_) => Kind::Push,
            Record::Strip(strip) => Kind::Strip(strip.changesets.first().map(pushed_at).unwrap_or_default()),
            Record::RepositoryDeleted(_) => Kind::End,
            Record::RepositoryUpdated(_) if committed.barrier => Kind::End,
            _ => Kind::Other,
        };
        self.lanes.entry(id).or_default().push((offset, kind, committed.public));
    }

    /// Content that a repository with this state must hold. A strip is done when it is shown.
    pub fn content(&self, id: CreationId, facts: LaneFacts) -> Vec<Offset> {
        let mut content = Vec::new();
        for (offset, kind, _) in self.lanes.get(&id).into_iter().flatten() {
            match kind {
                Kind::Push if *offset <= facts.applied => content.push(*offset),
                Kind::Strip(push) if *offset <= facts.shown => content.retain(|o| o != push),
                Kind::Push | Kind::Strip(_) | Kind::Init | Kind::End | Kind::Other => {}
            }
        }
        content
    }

    /// Mirrors need not care for what comes before it.
    pub fn ended_after(&self, id: CreationId, offset: Offset) -> bool {
        let lane = self.lanes.get(&id).into_iter().flatten();
        lane.rev().any(|(end, kind, _)| *kind == Kind::End && *end >= offset)
    }
}
