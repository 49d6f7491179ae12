//! What a master last said, as a value.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use protocol::status::{LogStatus, MirrorState, MirrorStatus, RepositoryStatus, Status};
use protocol::{Generation, InstanceName, Offset, RepositoryPath};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub master: Option<InstanceName>,
    pub generation: Generation,
    pub log: Option<LogStatus>,
    pub instances: BTreeMap<InstanceName, protocol::status::InstanceStatus>,
    pub mirrors: BTreeMap<InstanceName, MirrorStatus>,
    pub repositories: Arc<HashMap<RepositoryPath, Arc<RepositoryStatus>>>,
    /// False: nobody answers as master now; the rest is what the last one said.
    pub answers: bool,
}

impl View {
    /// What is known after an answer that may only say what has changed since `before`.
    pub fn after(before: &View, status: Status) -> View {
        let said = status.repositories.into_iter().map(|one| (one.path.clone(), Arc::new(one)));
        let repositories = match &status.changes {
            Some(changes) if !changes.whole => {
                let mut repositories = before.repositories.clone();
                if said.len() + changes.gone.len() > 0 {
                    let known = Arc::make_mut(&mut repositories);
                    changes.gone.iter().for_each(|path| drop(known.remove(path)));
                    known.extend(said);
                }
                repositories
            }
            _ => Arc::new(said.collect()),
        };
        View {
            master: status.master,
            generation: status.generation,
            log: status.log,
            instances: status.instances.into_iter().map(|one| (one.name.clone(), one)).collect(),
            mirrors: status.mirrors.into_iter().map(|one| (one.name.clone(), one)).collect(),
            repositories,
            answers: true,
        }
    }
}

/// Whom a new view concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Who is master, whether it answers, what mirrors do: the SshMaster and its pools.
    pub installation: bool,
    /// Which mirrors are active, or have set something aside: every repository says how many have it.
    pub mirrors: bool,
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

    pub fn news(&self, before: &View) -> News {
        let transitions = |view: &View| {
            let mirrors: Vec<_> = view
                .mirrors
                .values()
                .map(|mirror| (mirror.name.clone(), mirror.state, mirror.quarantined.clone()))
                .collect();
            mirrors
        };
        let who = |view: &View| {
            let roles: Vec<_> = view.instances.values().map(|one| (one.name.clone(), one.role)).collect();
            let refuses = view.log.and_then(|log| log.refuses);
            (view.master.clone(), view.generation, view.answers, roles, view.repositories.len(), refuses)
        };
        let repositories = self.changed(before);
        let mirrors = transitions(self) != transitions(before);
        let installation = mirrors || who(self) != who(before) || !repositories.is_empty();
        News { installation, mirrors, repositories }
    }

    fn changed(&self, before: &View) -> Vec<RepositoryPath> {
        if Arc::ptr_eq(&self.repositories, &before.repositories) {
            return Vec::new();
        }
        let is_same =
            |now: &Arc<RepositoryStatus>, before: &Arc<RepositoryStatus>| Arc::ptr_eq(now, before) || now == before;
        let is_known = |(path, now): &(&RepositoryPath, &Arc<RepositoryStatus>)| {
            before.repositories.get(*path).is_some_and(|before| is_same(now, before))
        };
        let changed = self.repositories.iter().filter(|one| !is_known(one));
        let gone = before.repositories.keys().filter(|path| !self.repositories.contains_key(*path));
        changed.map(|(path, _)| path).chain(gone).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::status::{Changes, Cursor};

    use super::*;

    fn view(tip_offset: u64, state: MirrorState, published: u64) -> View {
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
        let status =
            Status { log: Some(log), mirrors: vec![mirror], repositories: vec![repository], ..Status::default() };
        View::after(&View::default(), status)
    }

    #[test]
    fn an_answer_with_changes_only_adds_to_what_was_known() {
        let before = view(3, MirrorState::Active, 3);
        let cursor = Cursor { generation: Generation(1), change: 9 };
        let answer = |whole, repositories, gone: &[&str]| {
            let gone = gone.iter().map(|path| path.parse().unwrap()).collect();
            let changes = Some(Changes { cursor, whole, gone });
            View::after(&before, Status { repositories, changes, ..Status::default() })
        };
        let other = RepositoryStatus {
            path: "b".parse().unwrap(),
            ..RepositoryStatus::clone(&before.repositories[&"a".parse().unwrap()])
        };
        let paths = |view: &View| {
            let mut paths: Vec<String> = view.repositories.keys().map(ToString::to_string).collect();
            paths.sort();
            paths.join(" ")
        };
        assert!(Arc::ptr_eq(&answer(false, vec![], &[]).repositories, &before.repositories));
        assert_eq!(paths(&answer(false, vec![other.clone()], &[])), "a b");
        assert_eq!(paths(&answer(false, vec![other.clone()], &["a"])), "b");
        assert_eq!(paths(&answer(true, vec![other], &[])), "b");
        assert_eq!(answer(false, vec![], &["a"]).news(&before).repositories, ["a".parse().unwrap()]);
    }

    #[test]
    fn lag_and_a_log_that_grows_or_is_trimmed_are_no_news() {
        let before = view(3, MirrorState::Active, 3);
        assert_eq!(view(3, MirrorState::Active, 9).news(&before), News::default());
        let pushed = view(4, MirrorState::Active, 3).news(&before);
        assert_eq!(pushed, News { installation: true, mirrors: false, repositories: vec!["a".parse().unwrap()] });
        let lagging = view(3, MirrorState::Lagging, 3).news(&before);
        assert_eq!(lagging, News { installation: true, mirrors: true, repositories: Vec::new() });
        let silent = View { answers: false, ..before.clone() };
        assert!(silent.news(&before).installation);
        let log = LogStatus { refuses: Some(protocol::status::Refusal::VolumeFull), ..before.log.unwrap() };
        assert!(View { log: Some(log), ..before.clone() }.news(&before).installation);
    }
}
