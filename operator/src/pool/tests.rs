//! MirrorPool by value.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::MirrorPoolStatus;
use crds::conditions::Reason;
use k8s_openapi::jiff::Timestamp;
use protocol::Offset;
use protocol::status::{MirrorState, MirrorStatus};
use serde_json::{Value, json};

use super::build::{Objects, build};
use super::{Observed, report, validate};
use crate::certificates::Leaves;
use crate::link::view::View;
use crate::objects::Maker;
use crate::tests::snapshots::{Snapshot, master, pool};
use crate::world::cache::Name;

fn observed(change: Value) -> Observed {
    Observed {
        pool: Arc::new(pool(change)),
        name: Name::new("code", "web"),
        master: Some(Arc::new(master(json!({})))),
        stateful_set: None,
        pods: Vec::new(),
        claims: Vec::new(),
        view: None,
        used: None,
    }
}

fn built(observed: &Observed) -> Objects {
    let master = observed.master.clone().unwrap();
    build(observed, &master, Leaves::default(), observed.replicas(), &Maker::new("example/hg-operator:1", "operators"))
        .unwrap()
}

#[test]
fn the_smallest_pool_is_built() {
    let Objects { config, certificates, headless, front, budget, network, stateful_set } = built(&observed(json!({})));
    let mut snapshot = Snapshot::default();
    snapshot.add(&config);
    snapshot.add_secret(&certificates);
    snapshot.add(&headless);
    snapshot.add(&front);
    snapshot.add(&budget);
    snapshot.add(&network);
    snapshot.add(&stateful_set);
    snapshot.compare("mirror-pool");
}

#[test]
fn more_mirrors_replace_none() {
    let template = |replicas: u32| {
        let objects = built(&observed(json!({"replicas": replicas})));
        objects.stateful_set.value()["spec"]["template"].clone()
    };
    assert_eq!(template(2), template(7));
    assert_eq!(template(2), template(0).clone());
}

#[test]
fn a_mirror_stays_until_readers_have_left_it() {
    let set = |replicas: u32| {
        let set = json!({"spec": {"replicas": replicas, "selector": {}, "template": {}}});
        Some(Arc::new(serde_json::from_value(set).unwrap()))
    };
    let of = |has: u32, wanted: u32, used: Option<Vec<u32>>| {
        let pool = json!({"replicas": wanted, "minActive": 0});
        Observed { stateful_set: set(has), used, ..observed(pool) }.replicas()
    };
    assert_eq!(of(2, 4, None), 4);
    assert_eq!(of(4, 1, None), 4);
    assert_eq!(of(4, 1, Some(vec![0, 1, 2, 3])), 4);
    assert_eq!(of(4, 1, Some(vec![0, 2])), 3);
    assert_eq!(of(4, 1, Some(vec![0])), 1);
    assert_eq!(of(4, 0, Some(vec![])), 0);
}

#[test]
fn a_pool_without_its_master_is_told_so() {
    let problem = validate(&Observed { master: None, ..observed(json!({})) }).unwrap_err();
    assert_eq!(problem.reason, Reason::MasterNotFound);
    assert_eq!(problem.sentence, "spec.masterRef.name: there is no SshMaster 'hg' in this namespace");
}

fn mirror(number: u32, state: MirrorState, published: u64) -> MirrorStatus {
    MirrorStatus {
        name: format!("web-mirror-{number}").parse().unwrap(),
        pid: None,
        state,
        url: String::new(),
        applied: Offset(published),
        published: Offset(published),
        lag_seconds: 10 * (9 - published),
        quarantined: Vec::new(),
    }
}

fn followed(published: u64) -> Observed {
    let pods = (0..2).map(|number| {
        let pod = json!({
            "metadata": {"name": format!("web-mirror-{number}")},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    });
    let mirrors = [mirror(0, MirrorState::Active, 9), mirror(1, MirrorState::Lagging, published)];
    let mirrors: BTreeMap<_, _> = mirrors.into_iter().map(|mirror| (mirror.name.clone(), mirror)).collect();
    let view = Some(Arc::new(View { mirrors, answers: true, ..View::default() }));
    Observed { pods: pods.collect(), view, ..observed(json!({})) }
}

#[test]
fn the_worst_mirror_is_first_and_lag_alone_is_not_told_again() {
    let report = |observed: &Observed| report::report(observed, &Default::default(), None, Timestamp::UNIX_EPOCH);
    let status = report(&followed(3));
    assert_eq!(status.mirrors[0].name, "web-mirror-1");
    assert_eq!((status.ready_replicas, status.active_replicas, status.published_offset), (2, 1, Some(9)));
    assert_eq!(status.max_lag_seconds, Some(60), "60 seconds are a step");
    let later = report(&followed(4));
    assert_eq!(later.max_lag_seconds, Some(30), "50 seconds are told as 30");
    assert_ne!(status, later);
    assert_eq!(report::without_lag(&status), report::without_lag(&later));
    let told: Vec<String> =
        status.conditions.iter().map(|one| format!("{}={} {}", one.type_, one.status, one.reason)).collect();
    assert_eq!(
        told,
        [
            "Ready=True AllReady",
            "Available=True MirrorsServe",
            "Progressing=False Applied",
            "Degraded=False AllReady",
            "Replicating=False BeyondLag",
            "AtFloor=True FloorReached",
        ]
    );
}

/// An operator that has just started.
#[test]
fn what_the_master_alone_knows_stays_as_it_was_told_until_it_is_asked() {
    let report =
        |observed: &Observed, before: &MirrorPoolStatus| report::report(observed, before, None, Timestamp::UNIX_EPOCH);
    let before = report(&followed(3), &MirrorPoolStatus::default());
    assert_eq!(report(&Observed { view: None, ..followed(3) }, &before), before);
    let new = report(&Observed { view: None, ..followed(3) }, &MirrorPoolStatus::default());
    assert_eq!(new.conditions.len(), before.conditions.len());
}
