//! What an SshMaster's status says, from what is seen and what was done.

use crds::conditions::{ConditionStatus, ConditionType, Finding, Reason, conditions};
use crds::{LogStatus, Promotion, SshMasterStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use protocol::status::Role;

use super::Done;
use super::observe::Observed;
use super::steps::is_ready;
use crate::governor::Note;
use crate::link::view::View;
use crate::names::AUTHORIZED_KEYS;
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
    // In between, while the register is frozen, the status names no master.
    let from = before.master.clone().or_else(|| previous_holder(observed).filter(|_| before.generation.is_some()));
    let promotion = match (from, &master) {
        (Some(from), Some(to)) if from != *to => Some(Promotion {
            at: Time(now),
            from: Some(from),
            to: to.clone(),
            reason: note.reason.clone(),
            fence_proof: note.proof.clone(),
            seconds: note.seconds.map(signed),
        }),
        _ => before.last_promotion.clone(),
    };
    let log = view.map(log);
    let host_keys = done.ok().map(|done| done.host_keys.clone()).filter(|keys| !keys.is_empty());
    SshMasterStatus {
        observed_generation: generation,
        master,
        standbys,
        generation: register_generation(observed).or(before.generation),
        log: log.or_else(|| before.log.clone()),
        last_promotion: promotion,
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

fn previous_holder(observed: &Observed) -> Option<String> {
    observed.register.as_ref()?.annotations().get(register::PREVIOUS_HOLDER).cloned()
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
    let log_writable = match available.status {
        ConditionStatus::True => Finding::new(ConditionType::LogWritable, true, Reason::LogOpen, ""),
        _ => Finding { about: ConditionType::LogWritable, status: ConditionStatus::Unknown, ..available.clone() },
    };
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
    let pod = observed.pods.iter().find(|pod| pod.name_any() == holder);
    if !pod.is_some_and(|pod| is_ready(pod)) {
        return Finding::new(about, false, Reason::NoMaster, format!("{holder} is master and not ready"));
    }
    match observed.view.as_ref().filter(|view| view.answers) {
        Some(_) => Finding::new(about, true, Reason::MasterAccepts, ""),
        None => {
            let sentence = format!("{holder} is ready and does not answer the operator");
            Finding::new(about, ConditionStatus::Unknown, Reason::MasterUnreachable, sentence)
        }
    }
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
    let name = &observed.master.spec.directory.authorized_keys.secret_ref.name;
    match &observed.users {
        None => {
            Finding::new(about, false, Reason::SecretMissing, format!("there is no Secret '{name}' in this namespace"))
        }
        Some(secret) if !secret.data.as_ref().is_some_and(|data| data.contains_key(AUTHORIZED_KEYS)) => Finding::new(
            about,
            false,
            Reason::SecretInvalid,
            format!("Secret '{name}' has no key '{AUTHORIZED_KEYS}'"),
        ),
        Some(_) => Finding::new(about, true, Reason::SecretFound, ""),
    }
}
