//! Clients: people create, push, strip, delete, change settings.

use log::core::Event;
use protocol::record::{CloneBundlesChanged, RepositoryCreated, RepositoryDeleted, RepositoryUpdated, Strip};
use protocol::{
    CreationId, LogName, Offset, Payload, Push, PushId, Record, Repository, RepositorySettings, Timestamp,
};

use crate::ssh::Meant;
use crate::store::changeset;
use crate::truth::Kind;
use crate::world::{World, note};

const PATHS: [&str; 4] = ["a", "b", "c/d", "e"];

impl World {
    pub fn client(&mut self) {
        let index = self.any_ssh();
        if self.is_paused(crate::nodes::Node::Ssh(index)) {
            return;
        }
        let Some(reign) = self.ssh[index].up.as_ref().and_then(|up| up.reign.as_ref()) else { return };
        let generation = reign.generation;
        let repositories: Vec<Repository> = reign.publishing.registry().iter().cloned().collect();
        let Some(record) = self.wish(&repositories) else { return };
        note!(self, "a client of ssh-{index} asks for {}", record.kind());
        let Some(up) = &mut self.ssh[index].up else { return };
        let ticket = up.ticket(LogName::Replication, Meant::Client);
        self.statistics.records += 1;
        up.handle(LogName::Replication, Event::Append { ticket, generation, records: vec![record.encode()] });
        self.settle_ssh(index);
    }

    fn wish(&mut self, repositories: &[Repository]) -> Option<Record> {
        let choice = self.chance.below(20);
        let Some(repository) = repositories.get(self.chance.below(repositories.len())).filter(|_| choice > 0) else {
            let path = PATHS[self.chance.below(PATHS.len())].parse().ok()?;
            let settings = self.settings();
            let format = protocol::RepositoryFormat::V1;
            return Some(Record::RepositoryCreated(RepositoryCreated { path, format, settings }));
        };
        let id = repository.id;
        Some(match choice {
            1 if self.chance.one_in(3) => Record::RepositoryDeleted(RepositoryDeleted { repository: id }),
            2 => Record::RepositoryUpdated(RepositoryUpdated { repository: id, settings: self.settings() }),
            3 => Record::CloneBundlesChanged(CloneBundlesChanged { repository: id, manifest: "m".into() }),
            4 => {
                let pushed = self.last_push(id)?;
                let user = "u".parse().ok()?;
                Record::Strip(Strip { repository: id, changesets: vec![changeset(pushed)], user })
            }
            _ => self.push(repository)?,
        })
    }

    fn push(&mut self, repository: &Repository) -> Option<Record> {
        Some(Record::Push(Push {
            repository: repository.id,
            push_id: Some(PushId(repository.last_push.0 + 1)),
            user: "u".parse().ok()?,
            time: Timestamp(self.now.as_micros() as u64 + self.statistics.records),
            bundle: Some(Payload::Inline(vec![0; 8])),
            changesets: 1,
            tip: None,
            heads_added: Vec::new(),
            heads_removed: Vec::new(),
            heads: 1,
            bookmarks: Vec::new(),
            published: Vec::new(),
            markers: None,
            nodes: None,
        }))
    }

    fn settings(&mut self) -> RepositorySettings {
        let private = self.chance.one_in(4);
        let read_groups = if private { vec!["staff".to_owned()] } else { Vec::new() };
        let description = format!("made at {}", self.statistics.records);
        RepositorySettings { read_groups, description, ..RepositorySettings::default() }
    }

    fn last_push(&self, id: CreationId) -> Option<Offset> {
        let lane = self.truth.lanes.get(&id)?;
        lane.iter().rev().find(|(_, kind, _)| *kind == Kind::Push).map(|(offset, ..)| *offset)
    }
}
