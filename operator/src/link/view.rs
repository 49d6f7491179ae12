//! View: what a master last said, as a value.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use protocol::status::{LogStatus, MirrorState, MirrorStatus, RepositoryStatus, Status};
use protocol::{Generation, InstanceName, MasterSettings, Offset, RepositoryPath};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub master: Option<InstanceName>,
    pub generation: Generation,
    pub log: Option<LogStatus>,
    /// Settings that hold for all repositories; None: of an older version, it knows of none.
    pub settings: Option<MasterSettings>,
    pub unable: Option<String>,
    pub instances: BTreeMap<InstanceName, protocol::status::InstanceStatus>,
    pub mirrors: BTreeMap<InstanceName, MirrorStatus>,
    pub repositories: Arc<HashMap<RepositoryPath, Arc<RepositoryStatus>>>,
    /// False: nobody answers as master now; the rest is what the last one said.
    pub answers: bool,
}

/// News: whom a new view concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Installation: who is master, whether it answers, what mirrors do. Concerns the SshMaster and its pools.
    pub installation: bool,
    /// Mirrors: which are active, or who has set something aside. Every repository says how many have it.
    pub mirrors: bool,
    /// Settings that hold for all repositories: every one says whether it may be pushed to.
    pub settings: bool,
    pub repositories: Vec<RepositoryPath>,
}

impl View {
    /// The newest record that any instance has applied.
    pub fn head(&self) -> Offset {
        self.instances.values().map(|instance| instance.applied).max().unwrap_or_default()
    }

    /// Records that a mirror does not show yet.
    pub fn lag(&self, mirror: &MirrorStatus) -> u64 {
        self.head().0.saturating_sub(mirror.published.0)
    }

    pub fn active(&self) -> impl Iterator<Item = &MirrorStatus> {
        self.mirrors.values().filter(|mirror| mirror.state == MirrorState::Active)
    }

    /// Takes up an answer, which may only say what has changed since the last one.
    pub fn hear(&mut self, status: Status) -> News {
        self.change(|view| {
            let said = status.repositories;
            let gone = match status.changes {
                Some(changes) if !changes.whole => changes.gone,
                _ => {
                    let said: HashSet<&RepositoryPath> = said.iter().map(|one| &one.path).collect();
                    view.repositories.keys().filter(|path| !said.contains(path)).cloned().collect()
                }
            };
            view.master = status.master;
            view.generation = status.generation;
            view.log = status.log;
            view.settings = status.settings;
            view.unable = status.unable;
            view.instances = status.instances.into_iter().map(|one| (one.name.clone(), one)).collect();
            view.mirrors = status.mirrors.into_iter().map(|one| (one.name.clone(), one)).collect();
            view.answers = true;
            view.take(said, gone)
        })
    }

    /// Nobody answers.
    pub fn hear_nothing(&mut self) -> News {
        self.change(|view| {
            view.answers = false;
            Vec::new()
        })
    }

    /// Takes the repositories that were said, and answers those that differ now. Of many few change at once: no others
    /// are looked at.
    fn take(&mut self, said: Vec<RepositoryStatus>, gone: Vec<RepositoryPath>) -> Vec<RepositoryPath> {
        if said.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        let known = Arc::make_mut(&mut self.repositories);
        let mut changed = gone;
        changed.retain(|path| known.remove(path).is_some());
        for now in said {
            if known.get(&now.path).is_none_or(|before| **before != now) {
                changed.push(now.path.clone());
                known.insert(now.path.clone(), Arc::new(now));
            }
        }
        changed
    }

    fn change(&mut self, change: impl FnOnce(&mut View) -> Vec<RepositoryPath>) -> News {
        let transitions = |view: &View| {
            let mirrors: Vec<_> = view
                .mirrors
                .values()
                .map(|mirror| (mirror.name.clone(), mirror.state, mirror.quarantined.clone()))
                .collect();
            let aside: Vec<_> = view.instances.values().map(|one| one.quarantined.clone()).collect();
            (mirrors, aside)
        };
        let who = |view: &View| {
            let roles: Vec<_> = view.instances.values().map(|one| (one.name.clone(), one.role)).collect();
            let refuses = view.log.and_then(|log| log.refuses);
            (view.master.clone(), view.generation, view.answers, roles, refuses, view.unable.clone())
        };
        let before = (transitions(self), who(self), self.settings.clone());
        let repositories = change(self);
        let mirrors = transitions(self) != before.0;
        let settings = self.settings != before.2;
        let installation = mirrors || settings || who(self) != before.1 || !repositories.is_empty();
        News { installation, mirrors, settings, repositories }
    }
}

#[cfg(test)]
mod tests {
    use protocol::status::{Changes, Cursor};

    use super::*;

    fn status(tip_offset: u64, state: MirrorState, published: u64) -> Status {
        let mirror = MirrorStatus {
            name: "web-mirror-0".parse().unwrap(),
            pid: None,
            state,
            url: String::new(),
            applied: Offset(published),
            published: Offset(published),
            lag_seconds: 40 - published,
            quarantined: Vec::new(),
        };
        let repository: RepositoryStatus = serde_json::from_value(serde_json::json!({
            "path": "a", "tip": null, "heads": 0, "changesets": 0, "published": tip_offset,
        }))
        .unwrap();
        let log = LogStatus { bytes: 100 * published, ..LogStatus::default() };
        Status { log: Some(log), mirrors: vec![mirror], repositories: vec![repository], ..Status::default() }
    }

    fn view() -> View {
        let mut view = View::default();
        view.hear(status(3, MirrorState::Active, 3));
        view
    }

    #[test]
    fn an_answer_with_changes_only_adds_to_what_was_known() {
        let before = view();
        let cursor = Cursor { generation: Generation(1), change: 9 };
        let answer = |whole, repositories, gone: &[&str]| {
            let gone = gone.iter().map(|path| path.parse().unwrap()).collect();
            let changes = Some(Changes { cursor, whole, gone });
            let mut view = before.clone();
            let news = view.hear(Status { repositories, changes, ..Status::default() });
            (view, news)
        };
        let known = RepositoryStatus::clone(&before.repositories[&"a".parse().unwrap()]);
        let other = RepositoryStatus { path: "b".parse().unwrap(), ..known.clone() };
        let paths = |(view, news): (View, News)| {
            let mut paths: Vec<String> = view.repositories.keys().map(ToString::to_string).collect();
            paths.sort();
            let mut told: Vec<String> = news.repositories.iter().map(ToString::to_string).collect();
            told.sort();
            (paths.join(" "), told.join(" "))
        };
        let expected = |paths: &str, told: &str| (paths.to_owned(), told.to_owned());
        assert!(Arc::ptr_eq(&answer(false, vec![], &[]).0.repositories, &before.repositories));
        assert_eq!(paths(answer(false, vec![known, other.clone()], &[])), expected("a b", "b"));
        assert_eq!(paths(answer(false, vec![other.clone()], &["a"])), expected("b", "a b"));
        assert_eq!(paths(answer(true, vec![other], &[])), expected("b", "a b"));
        assert_eq!(paths(answer(false, vec![], &["a", "c"])), expected("", "a"));
    }

    #[test]
    fn lag_and_a_log_that_grows_or_is_trimmed_are_no_news() {
        let before = view();
        let news = |status: Status| before.clone().hear(status);
        assert_eq!(news(status(3, MirrorState::Active, 9)), News::default());
        let pushed = news(status(4, MirrorState::Active, 3));
        assert_eq!(pushed, News { installation: true, repositories: vec!["a".parse().unwrap()], ..News::default() });
        let lagging = news(status(3, MirrorState::Lagging, 3));
        assert_eq!(lagging, News { installation: true, mirrors: true, ..News::default() });
        assert!(before.clone().hear_nothing().installation);
        let settings = Some(MasterSettings { read_only_reason: Some("moving".into()), ..Default::default() });
        let read_only = news(Status { settings, ..status(3, MirrorState::Active, 3) });
        assert_eq!(read_only, News { installation: true, settings: true, ..News::default() });
        let log = LogStatus { refuses: Some(protocol::status::Refusal::VolumeFull), ..before.log.unwrap() };
        assert!(news(Status { log: Some(log), ..status(3, MirrorState::Active, 3) }).installation);
    }
}
