//! Registry of the repositories that there are: the replication log, folded. Every instance folds the same one.

use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use serde::{Deserialize, Serialize};

use crate::{CreationId, MasterSettings, Offset, PushId, Record, RepositoryFormat, RepositoryPath};
use crate::{RepositorySettings, Timestamp, UserName};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("record {offset} creates repository {path}, which exists since record {existing}")]
    Exists { offset: Offset, path: RepositoryPath, existing: CreationId },
    #[error("record {offset} is about repository {repository}, which does not exist")]
    Missing { offset: Offset, repository: CreationId },
}

/// One repository's life as far as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    pub id: CreationId,
    pub path: RepositoryPath,
    pub format: RepositoryFormat,
    pub settings: RepositorySettings,
    /// The newest record about it.
    pub last: Offset,
    /// The newest record that has changed what is in it; those after it only set it up. A push must know this one.
    #[serde(default)]
    pub content: Offset,
    /// Records of it that a person has given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Offset>,
    /// The newest pushlog row.
    pub last_push: PushId,
    /// Pushed: whose that row is. None: there is none, or it was stored by a version that did not keep this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Pushed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    pub user: UserName,
    pub time: Timestamp,
}

impl Repository {
    /// Stored by a version that did not keep it: any record may have been about the content.
    fn with_content(self) -> Repository {
        let content = if self.content == Offset::ZERO { self.last } else { self.content };
        Repository { content, ..self }
    }

    /// Private repositories are never on mirrors.
    pub fn is_public(&self) -> bool {
        self.settings.read_groups.is_empty()
    }
}

/// Also its serialized form: part of checkpoints and of snapshots for newcomers. Every change is told with a copy of
/// the whole, hence a copy costs nothing and shares everything that did not change since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Registry {
    through: Offset,
    settings: Arc<MasterSettings>,
    repositories: RedBlackTreeMapSync<CreationId, Arc<Repository>>,
    paths: HashTrieMapSync<RepositoryPath, CreationId>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    through: Offset,
    #[serde(default, skip_serializing_if = "MasterSettings::is_default")]
    settings: MasterSettings,
    repositories: Vec<Repository>,
}

impl From<Stored> for Registry {
    fn from(stored: Stored) -> Registry {
        let paths = stored.repositories.iter().map(|r| (r.path.clone(), r.id)).collect();
        let repositories = stored.repositories.into_iter().map(|r| (r.id, Arc::new(r.with_content()))).collect();
        Registry { through: stored.through, settings: Arc::new(stored.settings), repositories, paths }
    }
}

impl From<Registry> for Stored {
    fn from(registry: Registry) -> Stored {
        let repositories = registry.iter().cloned().collect();
        Stored { through: registry.through, settings: MasterSettings::clone(&registry.settings), repositories }
    }
}

impl Registry {
    /// The last record folded in.
    pub fn through(&self) -> Offset {
        self.through
    }

    /// Answers what holds for all repositories.
    pub fn settings(&self) -> &MasterSettings {
        &self.settings
    }

    pub fn len(&self) -> usize {
        self.repositories.size()
    }

    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty()
    }

    pub fn get(&self, id: CreationId) -> Option<&Repository> {
        self.repositories.get(&id).map(Arc::as_ref)
    }

    pub fn by_path(&self, path: &RepositoryPath) -> Option<&Repository> {
        self.paths.get(path).and_then(|id| self.get(*id))
    }

    /// In the order of their creation.
    pub fn iter(&self) -> impl Iterator<Item = &Repository> {
        self.repositories.values().map(Arc::as_ref)
    }

    /// Folds one record in. Records at or below [`Registry::through`] change nothing; an error changes nothing but
    /// `through`, so that one bad record does not stop the rest.
    pub fn apply(&mut self, offset: Offset, record: &Record) -> Result<(), RegistryError> {
        if offset <= self.through {
            return Ok(());
        }
        self.through = offset;
        if let Record::RepositoryCreated(created) = record {
            return self.create(offset, created);
        }
        if let Record::SettingsChanged(changed) = record {
            self.settings = Arc::new(changed.settings.clone());
        }
        let Some(id) = record.repository(offset) else { return Ok(()) };
        let missing = RegistryError::Missing { offset, repository: id };
        if let Record::RepositoryDeleted(_) = record {
            let gone = self.repositories.get(&id).ok_or(missing)?;
            self.paths.remove_mut(&gone.path);
            self.repositories.remove_mut(&id);
            return Ok(());
        }
        let repository = Arc::make_mut(self.repositories.get_mut(&id).ok_or(missing)?);
        repository.last = offset;
        match record {
            Record::RepositoryUpdated(updated) => repository.settings = updated.settings.clone(),
            Record::CloneBundlesChanged(_) => {}
            Record::Skip(skip) => {
                repository.content = offset;
                repository.skipped.push(skip.offset);
            }
            Record::Push(push) => {
                repository.content = offset;
                if let Some(row) = push.push_id {
                    repository.last_push = row;
                    repository.pushed = Some(Pushed { user: push.user.clone(), time: push.time });
                }
            }
            _ => repository.content = offset,
        }
        Ok(())
    }

    fn create(&mut self, offset: Offset, created: &crate::record::RepositoryCreated) -> Result<(), RegistryError> {
        if let Some(existing) = self.paths.get(&created.path) {
            return Err(RegistryError::Exists { offset, path: created.path.clone(), existing: *existing });
        }
        let id = CreationId(offset.0);
        self.paths.insert_mut(created.path.clone(), id);
        self.repositories.insert_mut(
            id,
            Arc::new(Repository {
                id,
                path: created.path.clone(),
                format: created.format,
                settings: created.settings.clone(),
                last: offset,
                content: offset,
                skipped: Vec::new(),
                last_push: PushId(0),
                pushed: None,
            }),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RepositoryCreated, RepositoryDeleted, RepositoryUpdated};

    fn created(path: &str) -> Record {
        Record::RepositoryCreated(RepositoryCreated {
            path: path.parse().unwrap(),
            format: RepositoryFormat::V1,
            settings: RepositorySettings::default(),
        })
    }

    #[test]
    fn a_path_created_again_is_another_repository() {
        let mut registry = Registry::default();
        registry.apply(Offset(2), &created("a")).unwrap();
        assert!(registry.apply(Offset(3), &created("a")).is_err());
        let gone = Record::RepositoryDeleted(RepositoryDeleted { repository: CreationId(2) });
        registry.apply(Offset(4), &gone).unwrap();
        assert!(registry.by_path(&"a".parse().unwrap()).is_none());
        registry.apply(Offset(5), &created("a")).unwrap();
        assert_eq!(registry.by_path(&"a".parse().unwrap()).unwrap().id, CreationId(5));
        let late = Record::RepositoryUpdated(RepositoryUpdated {
            repository: CreationId(2),
            settings: RepositorySettings { description: "old".into(), ..Default::default() },
        });
        assert!(registry.apply(Offset(6), &late).is_err());
        assert_eq!(registry.through(), Offset(6));
    }

    #[test]
    fn what_holds_for_all_is_kept_also_when_stored_and_an_older_version_has_none_of_it() {
        let mut registry = Registry::default();
        registry.apply(Offset(1), &created("a")).unwrap();
        let plain = serde_json::to_string(&registry).unwrap();
        assert!(plain.starts_with(r#"{"through":1,"repositories":["#), "nothing is said of defaults: {plain}");
        assert_eq!(*serde_json::from_str::<Registry>(&plain).unwrap().settings(), MasterSettings::default());
        let settings = MasterSettings { read_only_reason: Some("moving".into()), ..Default::default() };
        let record = Record::SettingsChanged(crate::record::SettingsChanged { settings: settings.clone() });
        assert_eq!(record.repository(Offset(2)), None, "no lane is concerned");
        registry.apply(Offset(2), &record).unwrap();
        let text = serde_json::to_string(&registry).unwrap();
        assert_eq!(*serde_json::from_str::<Registry>(&text).unwrap().settings(), settings);
        registry.apply(Offset(1), &Record::SettingsChanged(Default::default())).unwrap();
        assert_eq!(*registry.settings(), settings, "folded before");
    }

    fn push(row: Option<u64>, user: &str, time: u64) -> Record {
        Record::Push(crate::Push {
            repository: CreationId(1),
            push_id: row.map(PushId),
            user: user.parse().unwrap(),
            time: Timestamp(time),
            bundle: None,
            changesets: 0,
            tip: None,
            heads_added: Vec::new(),
            heads_removed: Vec::new(),
            heads: 1,
            bookmarks: Vec::new(),
            published: Vec::new(),
            markers: None,
            nodes: None,
        })
    }

    #[test]
    fn the_newest_row_of_the_pushlog_is_kept_and_a_push_without_a_row_is_none() {
        let mut registry = Registry::default();
        registry.apply(Offset(1), &created("a")).unwrap();
        let known = |registry: &Registry| {
            let repository = registry.get(CreationId(1)).unwrap();
            (repository.last_push.0, repository.pushed.as_ref().map(|pushed| (pushed.user.to_string(), pushed.time.0)))
        };
        assert_eq!(known(&registry), (0, None));
        registry.apply(Offset(2), &push(Some(1), "one@example.org", 10)).unwrap();
        registry.apply(Offset(3), &push(None, "two@example.org", 20)).unwrap();
        assert_eq!(known(&registry), (1, Some(("one@example.org".to_owned(), 10))));
        registry.apply(Offset(4), &push(Some(2), "two@example.org", 30)).unwrap();
        assert_eq!(known(&registry), (2, Some(("two@example.org".to_owned(), 30))));
    }

    #[test]
    fn what_only_sets_a_repository_up_does_not_change_its_content() {
        use crate::record::{CloneBundlesChanged, Strip};
        let mut registry = Registry::default();
        let repository = CreationId(1);
        let user = || "u".parse().unwrap();
        let records = [
            (created("a"), 1),
            (Record::RepositoryUpdated(RepositoryUpdated { repository, settings: Default::default() }), 1),
            (push(Some(1), "u", 10), 3),
            (Record::CloneBundlesChanged(CloneBundlesChanged { repository, manifest: String::new() }), 3),
            (Record::Strip(Strip { repository, changesets: Vec::new(), user: user() }), 5),
            (push(None, "u", 10), 6),
            // Whatever it is: a push that does not know of it might contradict it.
            (Record::decode(&[100, 1, 0x81, 1]).unwrap(), 7),
        ];
        for (offset, (record, content)) in (1..).zip(records) {
            registry.apply(Offset(offset), &record).unwrap();
            let known = registry.get(repository).unwrap();
            assert_eq!((known.last, known.content), (Offset(offset), Offset(content)), "{record:?}");
        }
    }

    #[test]
    fn a_stored_registry_is_the_same_when_read() {
        let mut registry = Registry::default();
        registry.apply(Offset(1), &created("a/b")).unwrap();
        registry.apply(Offset(1), &created("again")).unwrap();
        registry.apply(Offset(2), &push(Some(1), "one@example.org", 10)).unwrap();
        let text = serde_json::to_string(&registry).unwrap();
        assert_eq!(serde_json::from_str::<Registry>(&text).unwrap(), registry);
        assert_eq!(registry.len(), 1);
        let older = text.replace(r#","pushed":{"user":"one@example.org","time":10}"#, "");
        assert_ne!(older, text);
        let older = older.replace(r#""content":2,"#, "");
        let read = serde_json::from_str::<Registry>(&older).unwrap();
        assert_eq!(read.get(CreationId(1)).map(|repository| repository.content), Some(Offset(2)));
        assert_eq!(
            read.get(CreationId(1)).map(|repository| (repository.last_push.0, repository.pushed.is_some())),
            Some((1, false))
        );
    }
}
