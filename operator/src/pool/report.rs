//! Report: a MirrorPool's status.

use crds::conditions::{ConditionType, Finding, Reason, conditions};
use crds::{MAX_REPORTED_MIRRORS, MirrorPoolStatus, PoolMirror};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use protocol::status::{MirrorState, MirrorStatus};

use super::Observed;
use crate::metrics;
use crate::problem::{Class, Problem};

pub fn report(
    observed: &Observed,
    before: &MirrorPoolStatus,
    problem: Option<&Problem>,
    now: Timestamp,
) -> MirrorPoolStatus {
    let generation = observed.pool.metadata.generation;
    let mirrors = mirrors(observed);
    let active = mirrors.iter().filter(|mirror| mirror.state == MirrorState::Active).count();
    let published = observed.view.as_ref().and_then(|view| view.active().map(|mirror| mirror.published.0).min());
    let mut conditions = conditions(&before.conditions, &findings(observed, problem, active), generation, now);
    if observed.view.is_none() {
        keep_followed(&mut conditions, &before.conditions);
    }
    let active = if observed.view.is_some() { count(active) } else { before.active_replicas };
    let found = observed.view.as_ref().map(|_| mirrors.iter().map(|mirror| mirror.lag).max().unwrap_or(0));
    let seconds = observed.view.as_ref().map(|_| own(observed).map(|mirror| mirror.lag_seconds).max().unwrap_or(0));
    let (name, namespace) = ("app.kubernetes.io/instance", "app.kubernetes.io/component");
    MirrorPoolStatus {
        observed_generation: generation,
        replicas: count(observed.pods.len()),
        ready_replicas: count(observed.pods.iter().filter(|pod| is_ready(pod)).count()),
        active_replicas: active,
        selector: Some(format!("{namespace}=mirror,{name}={}", observed.name.name)),
        published_offset: published.map(signed).or(before.published_offset),
        max_lag_records: found.or(before.max_lag_records),
        max_lag_seconds: seconds.map(coarse).or(before.max_lag_seconds),
        conditions,
        mirrors: match observed.view {
            Some(_) => mirrors.into_iter().take(MAX_REPORTED_MIRRORS).collect(),
            None => before.mirrors.clone(),
        },
    }
}

/// An operator that has just started has not asked the master yet: what only the master knows stays as it was told.
fn keep_followed(conditions: &mut [Condition], before: &[Condition]) {
    for about in [ConditionType::Replicating, ConditionType::AtFloor] {
        let is_it = |one: &&Condition| one.type_ == about.as_str();
        let known = before.iter().find(is_it);
        if let (Some(known), Some(new)) = (known, conditions.iter_mut().find(|one| one.type_ == about.as_str())) {
            new.clone_from(known);
        }
    }
}

/// The largest step that is no more: a status is not rewritten for every second that a mirror stays away.
fn coarse(seconds: u64) -> i64 {
    const STEPS: [u64; 12] = [0, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400];
    STEPS.into_iter().take_while(|step| *step <= seconds).last().map_or(0, signed)
}

/// Takes out what moves all the time and is not worth a write by itself.
pub fn without_lag(status: &MirrorPoolStatus) -> MirrorPoolStatus {
    let still = |mirror: &PoolMirror| PoolMirror { offset: 0, lag: 0, ..mirror.clone() };
    let mut mirrors: Vec<PoolMirror> = status.mirrors.iter().map(still).collect();
    mirrors.sort_by(|a, b| a.name.cmp(&b.name));
    MirrorPoolStatus {
        published_offset: None,
        max_lag_records: None,
        max_lag_seconds: None,
        mirrors,
        ..status.clone()
    }
}

/// Live lag is a metric.
pub fn tell_lag(observed: &Observed) {
    let Some(view) = &observed.view else { return };
    let lag: Vec<_> = own(observed).map(|mirror| (mirror.name.to_string(), signed(view.lag(mirror)))).collect();
    metrics::told_lag(&observed.name.namespace, &observed.name.name, &lag);
}

fn own(observed: &Observed) -> impl Iterator<Item = &MirrorStatus> {
    let all = observed.view.iter().flat_map(|view| view.mirrors.values());
    all.filter(|mirror| observed.pods.iter().any(|pod| pod.name_any() == mirror.name.as_str()))
}

/// The worst first.
fn mirrors(observed: &Observed) -> Vec<PoolMirror> {
    let one = |mirror: &MirrorStatus| PoolMirror {
        name: mirror.name.to_string(),
        state: mirror.state,
        offset: signed(mirror.applied.0),
        lag: observed.view.as_ref().map_or(0, |view| signed(view.lag(mirror))),
        quarantined: signed(mirror.quarantined.len() as u64),
    };
    let mut mirrors: Vec<PoolMirror> = own(observed).map(one).collect();
    let badness = |state: MirrorState| match state {
        MirrorState::Unreachable => 0,
        MirrorState::Bootstrapping => 1,
        MirrorState::CatchingUp => 2,
        MirrorState::Lagging => 3,
        MirrorState::Active => 4,
    };
    mirrors.sort_by_key(|mirror| (badness(mirror.state), -mirror.quarantined, -mirror.lag, mirror.name.clone()));
    mirrors
}

fn findings(observed: &Observed, problem: Option<&Problem>, active: usize) -> Vec<Finding> {
    let spec = &observed.pool.spec;
    let (wanted, floor) = (spec.replicas as usize, spec.min_active as usize);
    let ready = observed.pods.iter().filter(|pod| is_ready(pod)).count();
    let told = |about, truth: bool, reason, sentence: String| Finding::new(about, truth, reason, sentence);
    let available = if ready > 0 {
        told(ConditionType::Available, true, Reason::MirrorsServe, String::new())
    } else {
        told(ConditionType::Available, false, Reason::NoActiveMirror, "no mirror is ready".to_owned())
    };
    let following = own(observed).filter(|mirror| mirror.state == MirrorState::Active).count();
    let replicating = if following >= wanted {
        told(ConditionType::Replicating, true, Reason::WithinLag, String::new())
    } else {
        let sentence = format!("{following} of {wanted} mirrors are active");
        told(ConditionType::Replicating, false, Reason::BeyondLag, sentence)
    };
    let at_floor = active <= floor && active < wanted;
    let floor = if at_floor { Reason::FloorReached } else { Reason::AboveFloor };
    let sentence = format!("{ready} of {wanted} mirrors are ready");
    let (progressing, degraded, summary) = match problem {
        Some(problem) => {
            let tries = problem.class == Class::Retry;
            let say = |about, truth| told(about, truth, problem.reason, problem.sentence.clone());
            let (progressing, degraded) = (ConditionType::Progressing, ConditionType::Degraded);
            (say(progressing, tries), say(degraded, true), say(ConditionType::Ready, false))
        }
        None if ready == wanted && observed.pods.len() == wanted => (
            told(ConditionType::Progressing, false, Reason::Applied, String::new()),
            told(ConditionType::Degraded, false, Reason::AllReady, String::new()),
            told(ConditionType::Ready, true, Reason::AllReady, String::new()),
        ),
        None => {
            let scales = observed.pods.len() != wanted;
            let reason = if scales { Reason::Scaling } else { Reason::InstancesNotReady };
            (
                told(ConditionType::Progressing, true, reason, sentence.clone()),
                told(ConditionType::Degraded, ready < wanted, Reason::InstancesNotReady, sentence.clone()),
                told(ConditionType::Ready, false, reason, sentence),
            )
        }
    };
    let at_floor = told(ConditionType::AtFloor, at_floor, floor, String::new());
    vec![summary, available, progressing, degraded, replicating, at_floor]
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
