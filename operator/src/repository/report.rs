//! Report: an HgRepository's status. It changes on transitions and pushes only; while the master does not answer, it
//! stays as it was: the SshMaster's status tells that once, not ten thousand times.

use std::sync::Arc;

use crds::conditions::{ConditionStatus, ConditionType, Finding, Reason, conditions};
use crds::{HgRepositoryStatus, LastPush, ReadOnly, Urls};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use protocol::RepositoryPath;
use protocol::status::{MirrorStatus, PushStatus, RepositoryStatus};

use super::import::Import;
use super::{Done, Observed};
use crate::link::view::View;
use crate::problem::Problem;

pub fn report(
    observed: &Observed,
    before: &HgRepositoryStatus,
    done: Result<&Done, &Problem>,
    now: Timestamp,
) -> HgRepositoryStatus {
    let generation = observed.repository.metadata.generation;
    let ours = done.is_ok();
    let view = observed.link.as_ref().filter(|_| ours).and_then(|link| link.view());
    // Nobody answers, or nobody was asked yet.
    let unknown = match done {
        Ok(_) => view.is_none(),
        Err(problem) => problem.reason == Reason::MasterNotReady,
    };
    if unknown && before.observed_generation == generation && was_ready(before) {
        return before.clone();
    }
    let found = view.as_ref().and_then(|view| view.repositories.get(&observed.repository.spec.path)).map(Arc::as_ref);
    let count = |number: u64| Some(i64::try_from(number).unwrap_or(i64::MAX));
    let found_conditions = findings(observed, view.as_deref().zip(found), done);
    HgRepositoryStatus {
        observed_generation: generation,
        tip: found.map_or_else(|| before.tip.clone(), |found| found.tip.as_ref().map(ToString::to_string)),
        heads: found.map_or(before.heads, |found| count(found.heads)),
        changesets: found.map_or(before.changesets, |found| count(found.changesets)),
        last_push: found.map_or_else(|| before.last_push.clone(), |found| found.last_push.as_ref().and_then(pushed)),
        published_offset: found.map_or(before.published_offset, |found| count(found.published.0)),
        mirrors_in_sync: match (view.as_deref(), found) {
            (Some(view), Some(found)) if is_public(observed) => Some(in_sync(view, found, observed.mirrors)),
            (Some(_), _) => None,
            (None, _) => before.mirrors_in_sync.clone(),
        },
        urls: if ours { urls(observed) } else { before.urls.clone() },
        conditions: conditions(&before.conditions, &found_conditions, generation, now),
    }
}

/// Reports one that is being deleted and cannot go yet: all but Ready stays as it was.
pub fn waits(
    before: &HgRepositoryStatus,
    problem: &Problem,
    generation: Option<i64>,
    now: Timestamp,
) -> HgRepositoryStatus {
    let ready = Finding::new(ConditionType::Ready, false, problem.reason, problem.sentence.clone());
    let mut status = before.clone();
    status.conditions.retain(|one| one.type_ != ConditionType::Ready.as_str());
    status.conditions.splice(0..0, conditions(&before.conditions, &[ready], generation, now));
    status
}

/// A status has whole seconds.
fn pushed(push: &PushStatus) -> Option<LastPush> {
    let at = i64::try_from(push.at.seconds()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    Some(LastPush { id: i64::try_from(push.id.0).ok()?, user: Some(push.user.to_string()), at: at.map(Time) })
}

/// Answers whether it was ready. What was amiss before does not stay while the master is away: it may be mended.
fn was_ready(before: &HgRepositoryStatus) -> bool {
    before.conditions.iter().any(|one| one.type_ == ConditionType::Ready.as_str() && one.status == "True")
}

/// A mirror that comes or goes changes nothing in the repository.
pub fn without_mirrors(status: &HgRepositoryStatus) -> HgRepositoryStatus {
    let mut status = HgRepositoryStatus { mirrors_in_sync: None, ..status.clone() };
    status.conditions.retain(|one| one.type_ != "Replicated");
    status
}

/// Fewer mirrors have it than before: not worth telling of all repositories if it does not last. More is told at once.
pub fn worsens(before: &HgRepositoryStatus, after: &HgRepositoryStatus) -> bool {
    let count = |status: &HgRepositoryStatus| {
        let (has, _) = status.mirrors_in_sync.as_deref()?.split_once('/')?;
        has.parse::<u32>().ok()
    };
    count(after) < count(before)
}

fn is_public(observed: &Observed) -> bool {
    observed.repository.spec.read_groups.is_empty()
}

/// Active mirrors that show its newest record, of all that there shall be: those that left are not missed.
fn in_sync(view: &View, repository: &RepositoryStatus, wanted: u32) -> String {
    let has = view.active().filter(|mirror| shows(mirror, repository)).count();
    format!("{has}/{wanted}")
}

/// Shows what is published, as every active mirror does, but those that have set the repository aside. Before that a
/// mirror tells how far it shows everything, which may be less than it shows of this repository.
fn shows(mirror: &MirrorStatus, repository: &RepositoryStatus) -> bool {
    let level = repository.published.max(mirror.published);
    level >= repository.newest && !mirror.quarantined.contains(&repository.path)
}

fn urls(observed: &Observed) -> Option<Urls> {
    let master = &observed.master.as_ref()?.spec;
    let path = &observed.repository.spec.path;
    let port = match master.service.port {
        22 => String::new(),
        port => format!(":{port}"),
    };
    Some(Urls {
        ssh: Some(format!("ssh://{}{port}/{path}", master.ssh_host)),
        http: is_public(observed).then(|| format!("{}/{path}", master.public_url)),
    })
}

fn findings(
    observed: &Observed,
    found: Option<(&View, &RepositoryStatus)>,
    done: Result<&Done, &Problem>,
) -> Vec<Finding> {
    let path = &observed.repository.spec.path;
    let say = |about, truth: ConditionStatus, reason, sentence: &str| Finding::new(about, truth, reason, sentence);
    let ready = match (done, found) {
        (Err(problem), _) => say(ConditionType::Ready, ConditionStatus::False, problem.reason, &problem.sentence),
        (Ok(_), Some(_)) => say(ConditionType::Ready, ConditionStatus::True, Reason::AllReady, ""),
        (Ok(_), None) => {
            let sentence = "the master does not show it yet";
            say(ConditionType::Ready, ConditionStatus::False, Reason::Reconciling, sentence)
        }
    };
    let replicated = match found {
        _ if !is_public(observed) => {
            say(ConditionType::Replicated, ConditionStatus::False, Reason::PrivateRepository, "")
        }
        None => say(ConditionType::Replicated, ConditionStatus::Unknown, Reason::Reconciling, ""),
        Some((view, found)) => {
            if view.active().next().is_none() {
                say(ConditionType::Replicated, ConditionStatus::False, Reason::NoMirrors, "")
            } else if !view.active().all(|mirror| shows(mirror, found)) {
                say(ConditionType::Replicated, ConditionStatus::False, Reason::MirrorsBehind, "")
            } else {
                say(ConditionType::Replicated, ConditionStatus::True, Reason::AllMirrorsShow, "")
            }
        }
    };
    let quarantined = quarantined(found.map(|(view, _)| view), path);
    let read_only = read_only(observed.repository.spec.read_only.as_ref(), found.map(|(view, _)| view));
    vec![ready, replicated, read_only, quarantined, imported(observed, done)]
}

fn quarantined(view: Option<&View>, path: &RepositoryPath) -> Finding {
    let about = ConditionType::Quarantined;
    let instances = view.into_iter().flat_map(|view| view.instances.values());
    let instances = instances.filter(|one| one.quarantined.contains(path)).map(|one| one.name.as_str());
    let mirrors = view.into_iter().flat_map(|view| view.mirrors.values());
    let mirrors = mirrors.filter(|one| one.quarantined.contains(path)).map(|one| one.name.as_str());
    let reason = match (instances.clone().next(), mirrors.clone().next()) {
        (Some(_), _) => Reason::QuarantinedOnInstance,
        (None, Some(_)) => Reason::QuarantinedOnMirror,
        (None, None) => return Finding::new(about, false, Reason::NotQuarantined, ""),
    };
    let aside: Vec<&str> = instances.chain(mirrors).collect();
    Finding::new(about, true, reason, format!("set aside on {}", aside.join(", ")))
}

/// That all are is true as soon as the master says so, and no earlier: it is what refuses.
fn read_only(own: Option<&ReadOnly>, view: Option<&View>) -> Finding {
    let about = ConditionType::ReadOnly;
    let all = view.and_then(|view| view.settings.as_ref()?.read_only_reason.as_ref());
    match (own, all) {
        (Some(own), _) => Finding::new(about, true, Reason::ReadOnlyBySpec, own.reason.clone()),
        (None, Some(reason)) => Finding::new(about, true, Reason::ReadOnlyByMaster, reason.clone()),
        (None, None) => Finding::new(about, false, Reason::Writable, ""),
    }
}

fn imported(observed: &Observed, done: Result<&Done, &Problem>) -> Finding {
    let about = ConditionType::Imported;
    let before = observed.repository.status.as_ref();
    let condition = before.and_then(|status| status.conditions.iter().find(|one| one.type_ == about.as_str()));
    let was_done = condition.is_some_and(|condition| condition.status == "True");
    match done.map(|done| &done.import) {
        _ if observed.repository.spec.source.is_none() => Finding::new(about, false, Reason::NoSource, ""),
        Ok(Import::Done) => Finding::new(about, true, Reason::ImportDone, ""),
        Ok(Import::Failed(reason)) => Finding::new(about, false, Reason::ImportFailed, reason.clone()),
        _ if was_done => Finding::new(about, true, Reason::ImportDone, ""),
        Ok(Import::Runs) => Finding::new(about, ConditionStatus::Unknown, Reason::Importing, ""),
        Ok(Import::None) | Err(_) => Finding::new(about, ConditionStatus::Unknown, Reason::Reconciling, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::status::{MirrorState, Status};
    use protocol::{MasterSettings, Offset};
    use serde_json::json;

    #[test]
    fn mirrors_that_have_left_are_not_counted_and_those_that_set_it_aside_are_behind() {
        let path: RepositoryPath = "a/b".parse().unwrap();
        let mirror = |name: &str, state, published, quarantined: &[RepositoryPath]| MirrorStatus {
            name: name.parse().unwrap(),
            pid: None,
            state,
            url: String::new(),
            applied: Offset(9),
            published: Offset(published),
            lag_seconds: 0,
            quarantined: quarantined.to_vec(),
        };
        let mirrors = vec![
            mirror("web-mirror-0", MirrorState::Active, 7, &[]),
            mirror("web-mirror-1", MirrorState::Active, 6, std::slice::from_ref(&path)),
            mirror("web-mirror-2", MirrorState::Unreachable, 3, &[]),
        ];
        let mut view = View::default();
        view.hear(Status { mirrors, ..Status::default() });
        let told = |path: &str, published, newest| {
            let path = path.parse().unwrap();
            let (published, newest) = (Offset(published), Offset(newest));
            let found =
                RepositoryStatus { path, published, newest, tip: None, heads: 0, changesets: 0, last_push: None };
            in_sync(&view, &found, 2)
        };
        assert_eq!(told("a/b", 8, 8), "1/2");
        assert_eq!(told("other", 8, 8), "2/2", "what is published counts, also before another's records");
        assert_eq!(told("other", 4, 7), "1/2", "a push that one of them does not show yet");
        assert_eq!(told("other", 4, 8), "0/2");
        assert_eq!(told("other", 4, 0), "2/2", "a master of an older version");
    }

    #[test]
    fn a_repository_in_quarantine_says_where() {
        let path: RepositoryPath = "a".parse().unwrap();
        let said = |instance: &[&str], mirror: &[&str]| {
            let status: Status = serde_json::from_value(json!({
                "master": "hg-ssh-0", "generation": 1, "repositories": [],
                "instances": [{"name": "hg-ssh-1", "role": "standby", "pid": null, "generation": 1, "applied": 1,
                    "quarantined": instance}],
                "mirrors": [{"name": "web-mirror-0", "pid": null, "state": "Active", "url": "", "applied": 1,
                    "published": 1, "quarantined": mirror}],
            }))
            .unwrap();
            let mut view = View::default();
            view.hear(status);
            let Finding { status, reason, message, .. } = quarantined(Some(&view), &path);
            (status == ConditionStatus::True, reason, message)
        };
        assert_eq!(said(&["b"], &[]), (false, Reason::NotQuarantined, String::new()));
        let on_mirror = "set aside on web-mirror-0".to_owned();
        assert_eq!(said(&[], &["a"]), (true, Reason::QuarantinedOnMirror, on_mirror));
        let both = "set aside on hg-ssh-1, web-mirror-0".to_owned();
        assert_eq!(said(&["a"], &["a", "b"]), (true, Reason::QuarantinedOnInstance, both));
    }

    #[test]
    fn read_only_is_what_the_master_refuses() {
        let own = ReadOnly { reason: "closed".into() };
        let view = |settings: Option<Option<&str>>| {
            let settings = settings.map(|reason| MasterSettings {
                read_only_reason: reason.map(ToOwned::to_owned),
                ..Default::default()
            });
            View { settings, ..View::default() }
        };
        let (moving, writable, older) = (view(Some(Some("moving"))), view(Some(None)), view(None));
        let table = [
            (Some(&own), Some(&moving), Reason::ReadOnlyBySpec, "closed"),
            (None, Some(&moving), Reason::ReadOnlyByMaster, "moving"),
            (None, Some(&writable), Reason::Writable, ""),
            // Nothing refuses, whatever the SshMaster's spec says.
            (None, Some(&older), Reason::Writable, ""),
            (None, None, Reason::Writable, ""),
        ];
        for (own, view, reason, message) in table {
            let told = read_only(own, view);
            assert_eq!((told.reason, told.message.as_str()), (reason, message));
            assert_eq!(told.status == ConditionStatus::True, reason != Reason::Writable);
        }
    }

    #[test]
    fn a_push_is_told_with_its_row_its_user_and_its_second() {
        let push = PushStatus {
            id: protocol::PushId(7),
            user: "me@example.org".parse().unwrap(),
            at: protocol::Timestamp(1_700_000_000_999_999),
        };
        let told = serde_json::to_value(pushed(&push)).unwrap();
        let expected = json!({"id": 7, "user": "me@example.org", "at": "2023-11-14T22:13:20Z"});
        assert_eq!(told, expected);
    }

    #[test]
    fn one_that_waits_for_its_deletion_says_so_and_leaves_the_rest() {
        let at = Timestamp::from_second(10).unwrap();
        let other = Finding::new(ConditionType::ReadOnly, false, Reason::Writable, "");
        let ready = Finding::new(ConditionType::Ready, true, Reason::AllReady, "");
        let before = HgRepositoryStatus {
            heads: Some(3),
            conditions: conditions(&[], &[other, ready], Some(1), at),
            ..HgRepositoryStatus::default()
        };
        let problem = Problem::user(Reason::Deleting, "it waits");
        let status = waits(&before, &problem, Some(2), at);
        let told: Vec<_> = status.conditions.iter().map(|one| [&*one.type_, &one.status, &one.reason]).collect();
        assert_eq!(told, [["Ready", "False", "Deleting"], ["ReadOnly", "False", "Writable"]]);
        assert_eq!((status.heads, waits(&status, &problem, Some(2), at)), (Some(3), status.clone()));
    }

    #[test]
    fn more_mirrors_are_told_at_once_and_fewer_only_when_it_lasts() {
        let status = |mirrors: Option<&str>| HgRepositoryStatus {
            mirrors_in_sync: mirrors.map(ToOwned::to_owned),
            ..HgRepositoryStatus::default()
        };
        let table = [
            (None, Some("0/2"), false),
            (Some("0/2"), Some("1/2"), false),
            (Some("2/2"), Some("1/2"), true),
            (Some("2/2"), Some("2/3"), false),
            (Some("2/2"), None, true),
        ];
        for (before, after, worse) in table {
            assert_eq!(worsens(&status(before), &status(after)), worse, "{before:?} {after:?}");
        }
        assert_eq!(without_mirrors(&status(Some("1/2"))), without_mirrors(&status(Some("2/2"))));
    }
}
