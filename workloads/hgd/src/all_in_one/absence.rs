//! A status while nobody answers as master: made of what each instance and mirror says of itself.

use std::time::Duration;

use futures::future::join_all;
use interface::paths;
use protocol::status::{Absence, Held, InstanceStatus, MirrorState, MirrorStatus, Role, Status};
use protocol::{Generation, InstanceName, Offset};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transport::{Client, Target};

use super::outlook::Outlook;

/// Whoever has not answered by then is shown as not heard from.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shown: what a mirror says of itself.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Shown {
    ready: bool,
    applied: Offset,
    published: Offset,
}

pub async fn held(client: &Client, instances: &[Target]) -> Vec<(InstanceName, Option<Held>)> {
    let asked = instances.iter().map(async |ssh| (ssh.name.clone(), ask(client, ssh, paths::HELD).await));
    join_all(asked).await
}

/// Each mirror with its public address.
pub async fn shown(client: &Client, mirrors: &[(Target, String)]) -> Vec<(InstanceName, String, Option<Shown>)> {
    let asked = mirrors
        .iter()
        .map(async |(mirror, url)| (mirror.name.clone(), url.clone(), ask(client, mirror, "/status.json").await));
    join_all(asked).await
}

async fn ask<T: DeserializeOwned>(client: &Client, of: &Target, path: &str) -> Option<T> {
    tokio::time::timeout(PATIENCE, client.get_json(of, path)).await.ok()?.ok()
}

/// Repositories are shown as the instance has them that has applied most.
pub fn status(
    outlook: &Outlook,
    ssh: Vec<(InstanceName, Option<Held>)>,
    mirrors: Vec<(InstanceName, String, Option<Shown>)>,
) -> Status {
    let (mut instances, mut best) = (Vec::new(), None::<Held>);
    for (name, held) in ssh {
        let in_sync = outlook.in_sync.contains(&name);
        let Some(held) = held else {
            let (role, generation, applied) = (Role::Unknown, Generation(0), Offset::ZERO);
            let quarantined = Vec::new();
            instances.push(InstanceStatus { name, role, pid: None, generation, applied, in_sync, quarantined });
            continue;
        };
        instances.push(InstanceStatus { in_sync: in_sync || held.instance.in_sync, ..held.instance.clone() });
        if best.as_ref().is_none_or(|best| best.instance.applied < held.instance.applied) {
            best = Some(held);
        }
    }
    let mirror = |(name, url, shown): (InstanceName, String, Option<Shown>)| MirrorStatus {
        name,
        pid: None,
        state: match shown {
            Some(Shown { ready: true, .. }) => MirrorState::Active,
            Some(_) => MirrorState::CatchingUp,
            None => MirrorState::Unreachable,
        },
        url,
        applied: shown.map_or(Offset::ZERO, |shown| shown.applied),
        published: shown.map_or(Offset::ZERO, |shown| shown.published),
        lag_seconds: 0,
        quarantined: Vec::new(),
    };
    let unsaid = || Absence {
        milliseconds: outlook.before_it_opened,
        sentence: "the master does not say how it is; a new one first takes its logs".to_owned(),
        ends_within: None,
    };
    let mirrors: Vec<MirrorStatus> = mirrors.into_iter().map(mirror).collect();
    let mut repositories = best.map(|best| best.repositories).unwrap_or_default();
    let answering = mirrors.iter().filter(|mirror| mirror.state != MirrorState::Unreachable);
    let shown_by_all = answering.map(|mirror| mirror.published).min().unwrap_or(Offset::ZERO);
    for repository in &mut repositories {
        // What is newer may be shown as well: nobody knows.
        repository.published =
            if repository.newest <= shown_by_all { repository.newest } else { repository.published };
    }
    Status {
        master: None,
        absence: Some(outlook.absence.clone().unwrap_or_else(unsaid)),
        generation: outlook.generation,
        instances,
        mirrors,
        repositories,
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_says_of_itself_is_shown_without_a_master() {
        let held = |name: &str, applied: u64, tip: &str| -> Held {
            let repositories = [4, 5].map(|newest| {
                serde_json::json!({"path": format!("{tip}/{newest}"), "tip": null, "heads": 0, "changesets": 0,
                    "published": 0, "newest": newest})
            });
            serde_json::from_value(serde_json::json!({
                "instance": {"name": name, "role": "standby", "pid": null, "generation": 7, "applied": applied},
                "repositories": repositories,
            }))
            .unwrap()
        };
        let name = |name: &str| name.parse::<InstanceName>().unwrap();
        let outlook = Outlook { generation: Generation(8), in_sync: [name("ssh-2")].into(), ..Outlook::default() };
        let ssh = vec![
            (name("ssh-0"), None),
            (name("ssh-1"), Some(held("ssh-1", 4, "old"))),
            (name("ssh-2"), Some(held("ssh-2", 5, "new"))),
        ];
        let ready = Shown { ready: true, applied: Offset(5), published: Offset(4) };
        let mirrors = vec![
            (name("mirror-0"), "http://127.0.0.1:1".to_owned(), Some(ready)),
            (name("mirror-1"), "http://127.0.0.1:2".to_owned(), None),
        ];
        let status = status(&outlook, ssh, mirrors);
        assert_eq!((status.master, status.generation), (None, Generation(8)));
        assert!(status.absence.is_some());
        let roles: Vec<_> = status.instances.iter().map(|one| (one.role, one.in_sync, one.applied.0)).collect();
        assert_eq!(roles, [(Role::Unknown, false, 0), (Role::Standby, false, 4), (Role::Standby, true, 5)]);
        let states: Vec<_> = status.mirrors.iter().map(|one| (one.state, one.published.0)).collect();
        assert_eq!(states, [(MirrorState::Active, 4), (MirrorState::Unreachable, 0)]);
        let shown: Vec<_> = status.repositories.iter().map(|one| (one.path.as_str(), one.published.0)).collect();
        assert_eq!(shown, [("new/4", 4), ("new/5", 0)], "as far as every mirror that answers shows it");
    }
}
