//! Report: an SshMaster's status, from what is seen and what was done.

use crds::conditions::{ConditionStatus, ConditionType, Finding, Reason, conditions};
use crds::{LogStatus, Promotion, SshMasterStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use protocol::status::{Refusal, Role};

use super::Done;
use super::observe::Observed;
use super::steps::is_ready;
use super::validate::users;
use crate::link::view::View;
use crate::notes::Note;
use crate::problem::{Class, Problem};

pub fn report(
    observed: &Observed,
    before: &SshMasterStatus,
    note: &Note,
    done: Result<&Done, &Problem>,
    now: Timestamp,
) -> SshMasterStatus {
    let generation = observed.master.metadata.generation;
    let answering = observed.view.as_deref().filter(|view| view.answers);
    let master = answering.and_then(|view| view.master.as_ref().map(ToString::to_string));
    let master = master.or_else(|| observed.holder().map(ToOwned::to_owned));
    let view = observed.view.as_deref();
    let standbys = match view {
        Some(view) => {
            let standbys = view.instances.values().filter(|instance| instance.role == Role::Standby);
            standbys.map(|instance| instance.name.to_string()).collect()
        }
        None => before.standbys.clone(),
    };
    let log = view.map(log);
    let host_keys = done.ok().map(|done| done.host_keys.clone()).filter(|keys| !keys.is_empty());
    SshMasterStatus {
        observed_generation: generation,
        master,
        standbys,
        generation: register_generation(observed).or(before.generation),
        log: log.or_else(|| before.log.clone()),
        last_promotion: last_promotion(observed).or_else(|| before.last_promotion.clone()),
        host_key_fingerprints: host_keys.unwrap_or_else(|| before.host_key_fingerprints.clone()),
        repositories: view.map(|view| signed(view.repositories.len() as u64)).or(before.repositories),
        mirrors: Some(mirrors(observed)),
        conditions: conditions(&before.conditions, &findings(observed, note, done), generation, now),
    }
}

fn log(view: &View) -> LogStatus {
    LogStatus {
        head: signed(view.log.map_or(view.head(), |log| log.committed).0),
        start: view.log.map(|log| signed(log.start.0)),
        bytes: view.log.map(|log| signed(log.bytes)),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As the one who made it has written it to the register. None while one is under way, and after one was withdrawn:
/// the newest is the one before.
fn last_promotion(observed: &Observed) -> Option<Promotion> {
    let promotion = register::of_lease(observed.register.as_ref()?).ok()?.value.promotion?;
    let made = promotion.made?;
    Some(Promotion {
        at: Time(Timestamp::from_millisecond(signed(made.at)).ok()?),
        from: promotion.from.map(|from| from.to_string()),
        to: made.to.to_string(),
        reason: Some(promotion.reason),
        fence_proof: Some(made.proof),
        seconds: Some(signed(made.at.saturating_sub(promotion.begun).div_ceil(1000))),
    })
}

fn register_generation(observed: &Observed) -> Option<i64> {
    observed.register.as_ref()?.annotations().get("hg-operator.dev/generation")?.parse().ok()
}

fn mirrors(observed: &Observed) -> String {
    let wanted: u32 = observed.pools.iter().map(|pool| pool.pool.spec.replicas).sum();
    let active = observed.view.as_ref().map_or(0, |view| view.active().count());
    format!("{active}/{wanted}")
}

fn findings(observed: &Observed, note: &Note, done: Result<&Done, &Problem>) -> Vec<Finding> {
    let promotion = promotion(observed, note);
    let available = available(observed);
    let progressing = progressing(observed, done);
    let degraded = degraded(observed, done);
    let standby = standby(observed);
    let ready = ready(observed, done, [&available, &progressing, &standby]);
    let log_writable = log_writable(observed, &available);
    let suspended = observed.master.spec.suspend;
    let reason = if suspended { Reason::SuspendedBySpec } else { Reason::NotSuspended };
    vec![
        ready,
        available,
        progressing,
        degraded,
        standby,
        promotion,
        directory(observed),
        log_writable,
        Finding::new(ConditionType::Suspended, suspended, reason, ""),
    ]
}

fn ready(observed: &Observed, done: Result<&Done, &Problem>, parts: [&Finding; 3]) -> Finding {
    if let Err(problem) = done {
        // What runs goes on: a problem of today is no reason to say that nobody is served.
        return Finding::new(ConditionType::Ready, false, problem.reason, problem.sentence.clone());
    }
    let [available, progressing, standby] = parts;
    let missing =
        |finding: &Finding| Finding::new(ConditionType::Ready, false, finding.reason, finding.message.clone());
    if available.status != ConditionStatus::True {
        return missing(available);
    }
    if observed.master.spec.instances > 1 && standby.status != ConditionStatus::True {
        return missing(standby);
    }
    if progressing.status == ConditionStatus::True {
        return missing(progressing);
    }
    Finding::new(ConditionType::Ready, true, Reason::AllReady, "")
}

fn available(observed: &Observed) -> Finding {
    let about = ConditionType::Available;
    let Some(holder) = observed.holder() else {
        return Finding::new(about, false, Reason::NoMaster, "the register names no master");
    };
    let answering = observed.view.as_ref().filter(|view| view.answers);
    if let Some(why) = answering.and_then(|view| view.unable.as_ref()) {
        return Finding::new(about, false, Reason::PushesFail, format!("pushes fail on {holder}: {why}"));
    }
    let pod = observed.pods.iter().find(|pod| pod.name_any() == holder);
    if !pod.is_some_and(|pod| is_ready(pod)) {
        return Finding::new(about, false, Reason::NoMaster, format!("{holder} is master and not ready"));
    }
    match answering {
        Some(view) => match view.log.and_then(|log| log.refuses) {
            None => Finding::new(about, true, Reason::MasterAccepts, ""),
            Some(refusal) => refused(about, refusal),
        },
        None => {
            let sentence = format!("{holder} is ready and does not answer the operator");
            Finding::new(about, ConditionStatus::Unknown, Reason::MasterUnreachable, sentence)
        }
    }
}

/// Finds what the master itself says of its log; while it says nothing, nobody knows.
fn log_writable(observed: &Observed, available: &Finding) -> Finding {
    let about = ConditionType::LogWritable;
    let answering = observed.view.as_ref().filter(|view| view.answers);
    match answering.map(|view| view.log.map(|log| log.refuses)) {
        Some(Some(None)) => Finding::new(about, true, Reason::LogOpen, ""),
        Some(Some(Some(refusal))) => refused(about, refusal),
        Some(None) => {
            let sentence = "the master is of an older version, which does not say it";
            Finding::new(about, ConditionStatus::Unknown, Reason::Reconciling, sentence)
        }
        None => Finding { about, status: ConditionStatus::Unknown, ..available.clone() },
    }
}

/// Pushes are refused: the same words in `Available` and in `LogWritable`.
fn refused(about: ConditionType, refusal: Refusal) -> Finding {
    let (reason, sentence) = match refusal {
        Refusal::VolumeFull => (Reason::LogFull, "pushes are refused: the volume of the master's log is full"),
        Refusal::VolumeFails => {
            (Reason::LogFailed, "pushes are refused: the volume of the master's log did not take the last record")
        }
        Refusal::NoStandby => {
            (Reason::NoStandbyLeft, "pushes are refused: no standby is in sync, and spec.log.durability is Strict")
        }
        Refusal::StandbyAway => {
            (Reason::StandbyAway, "pushes are refused: a standby that every push needs is not connected")
        }
        Refusal::Draining => (Reason::SwitchingOver, "pushes are refused: another master is to be named"),
        Refusal::LeaseOver => {
            (Reason::LeaseOver, "pushes are refused: the master could not renew its register in time")
        }
    };
    Finding::new(about, false, reason, sentence)
}

fn progressing(observed: &Observed, done: Result<&Done, &Problem>) -> Finding {
    let about = ConditionType::Progressing;
    let done = match done {
        Ok(done) => done,
        Err(problem) => {
            let tries = problem.class == Class::Retry;
            return Finding::new(about, tries, problem.reason, problem.sentence.clone());
        }
    };
    if let Some(reason) = &done.rollout {
        return Finding::new(about, true, Reason::RollingOut, reason.clone());
    }
    let (ready, wanted) = (ready_pods(observed), observed.master.spec.instances as usize);
    if ready < wanted && !observed.master.spec.suspend {
        let sentence = format!("{ready} of {wanted} instances are ready");
        return Finding::new(about, true, Reason::InstancesNotReady, sentence);
    }
    Finding::new(about, false, Reason::Applied, "")
}

fn ready_pods(observed: &Observed) -> usize {
    observed.pods.iter().filter(|pod| is_ready(pod)).count()
}

fn degraded(observed: &Observed, done: Result<&Done, &Problem>) -> Finding {
    let about = ConditionType::Degraded;
    if let Err(problem) = done {
        return Finding::new(about, true, problem.reason, problem.sentence.clone());
    }
    let (ready, wanted) = (ready_pods(observed), observed.master.spec.instances as usize);
    if ready < wanted {
        let sentence = format!("{ready} of {wanted} instances are ready");
        return Finding::new(about, true, Reason::InstancesNotReady, sentence);
    }
    Finding::new(about, false, Reason::AllReady, "")
}

fn standby(observed: &Observed) -> Finding {
    let about = ConditionType::StandbyInSync;
    if observed.master.spec.instances < 2 {
        return Finding::new(about, false, Reason::NoStandby, "spec.instances is 1");
    }
    if observed.is_shared() {
        return match observed.another_is_ready() {
            true => Finding::new(about, true, Reason::InSync, ""),
            false => Finding::new(about, false, Reason::StandbyBehind, "no other instance is ready"),
        };
    }
    let in_sync = observed.register.as_ref().and_then(|lease| register::of_lease(lease).ok());
    let in_sync = in_sync.map(|register| register.value.in_sync).unwrap_or_default();
    let follows = |name: &str| observed.pods.iter().any(|pod| pod.name_any() == name && is_ready(pod));
    match in_sync.iter().find(|name| follows(name.as_str())) {
        Some(_) => Finding::new(about, true, Reason::InSync, ""),
        None => Finding::new(about, false, Reason::StandbyBehind, "no standby of the in-sync set is ready"),
    }
}

/// A lost master would be replaced now.
fn promotion(observed: &Observed, note: &Note) -> Finding {
    let about = ConditionType::PromotionReady;
    let standby = standby(observed);
    if !observed.master.spec.failover.enabled {
        return Finding::new(about, false, Reason::FailoverOff, "spec.failover.enabled is false");
    }
    if let Some(trouble) = &note.trouble {
        return Finding::new(about, false, Reason::PromotionBlocked, trouble.clone());
    }
    Finding { about, ..standby }
}

fn directory(observed: &Observed) -> Finding {
    let about = ConditionType::DirectoryReachable;
    match users(observed) {
        Ok(()) => Finding::new(about, true, Reason::SecretFound, ""),
        Err(problem) => Finding::new(about, false, problem.reason, problem.sentence),
    }
}
