//! Whether pushes are taken, and if not, why: for the gate, for the status, and for whoever decides who is master.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use failover::Requirement;
use log::{Log, View, WriteFailure};
use mercurial::Mercurial;
use protocol::InstanceName;
use protocol::status::{LogStatus, Refusal};
use push_gate::{WRITABLE_WAIT, Writable};
use rustix::fs::statvfs;
use tokio::sync::watch;
use tokio::time::Instant;

use super::own::Own;
use super::standbys::Standbys;
use super::tenure::Tenure;

const A_DAY: Duration = Duration::from_secs(24 * 3600);
/// Between two looks at the volume.
const LOOK: Duration = Duration::from_millis(500);
/// A volume with less is full: a push of a few files more would be refused.
const ROOM_BYTES: u64 = 1024 * 1024;

/// Between two proofs that a push could be taken.
const PROVE: Duration = Duration::from_secs(1);
/// So many fail in a row before pushes are said to fail: one may have met a Mercurial that was just starting again.
const FAILED_PROOFS: u32 = 2;

/// Proofs, the newest of each kind.
#[derive(Default)]
struct Proofs {
    failed: u32,
}

impl Proofs {
    /// Why every push fails; None: one could be taken, or it is not certain yet that none can.
    fn take(&mut self, proof: Result<(), String>) -> Option<String> {
        let why = proof.err();
        self.failed = if why.is_some() { self.failed.saturating_add(1) } else { 0 };
        why.filter(|_| self.failed >= FAILED_PROOFS)
    }
}

/// Has a child do what every push needs, again and again, and notes what fails; of a master the gate's answer, too.
/// Until the process ends.
pub async fn prove(mercurial: Mercurial, own: Arc<Own>) {
    let mut proofs = Proofs::default();
    loop {
        tokio::time::sleep(PROVE).await;
        let takes_pushes = own.leading.borrow().is_some_and(|leading| leading.open);
        let now = proofs.take(mercurial.prove(takes_pushes).await);
        own.unable.send_if_modified(|before| {
            let changed = *before != now;
            match &now {
                Some(why) if changed => tracing::error!(%why, "pushes fail here, whatever is pushed"),
                None if changed => tracing::info!("pushes can be taken here again"),
                Some(_) | None => {}
            }
            *before = now;
            changed
        });
    }
}

/// `Yes` while everybody whom a commit needs is connected, and pushes are taken.
pub fn watch(
    mut connected: watch::Receiver<Standbys>,
    mut requirement: watch::Receiver<Requirement>,
    mut drain: watch::Receiver<Option<Instant>>,
    tenure: Option<Tenure>,
    has_standbys: bool,
) -> watch::Receiver<Writable> {
    let (writable, seen) = watch::channel(Writable::No(Refusal::StandbyAway));
    tokio::spawn(async move {
        // Without one, a sender that is never heard of again.
        let (_never, always) = watch::channel(Duration::MAX);
        let mut renewed = tenure.as_ref().map_or(always, Tenure::watch);
        loop {
            renewed.borrow_and_update();
            let left = tenure.as_ref().map_or(A_DAY, Tenure::left);
            let draining = drain.borrow_and_update().filter(|until| *until > Instant::now());
            let now = {
                let (connected, requirement) = (connected.borrow_and_update(), requirement.borrow_and_update());
                let there = |name: &InstanceName| {
                    connected.get(name).is_some_and(|standby| requirement.counts(name, &standby.disk))
                };
                taken(&Now {
                    lease_is_over: left.is_zero(),
                    draining: draining.is_some(),
                    enough: requirement.enough,
                    all_there: requirement.members.keys().all(there),
                    alone: requirement.members.is_empty() && has_standbys,
                })
            };
            writable.send_if_modified(|before| std::mem::replace(before, now) != now);
            let again = if left.is_zero() { A_DAY } else { left };
            let over = tokio::time::sleep_until(draining.unwrap_or_else(|| Instant::now() + again));
            let gone = tokio::select! {
                changed = connected.changed() => changed.is_err(),
                changed = requirement.changed() => changed.is_err(),
                changed = drain.changed() => changed.is_err(),
                changed = renewed.changed() => changed.is_err(),
                () = over => false,
            };
            if gone {
                return;
            }
        }
    });
    seen
}

/// Facts that decide whether pushes are taken now.
struct Now {
    /// Where all instances have one volume: the register was not renewed in time.
    lease_is_over: bool,
    /// Another master is to be named.
    draining: bool,
    /// False: nobody but this instance would have a push, and the durability is strict.
    enough: bool,
    /// Everybody whom a commit needs is connected.
    all_there: bool,
    /// There are standbys, and a commit needs none of them.
    alone: bool,
}

/// Answers whether pushes are taken; of several reasons why not, the one that a person can do least about.
fn taken(now: &Now) -> Writable {
    match now {
        Now { lease_is_over: true, .. } => Writable::No(Refusal::LeaseOver),
        Now { draining: true, .. } => Writable::No(Refusal::Draining),
        Now { enough: false, .. } => Writable::No(Refusal::NoStandby),
        Now { all_there: false, .. } => Writable::No(Refusal::StandbyAway),
        Now { alone: true, .. } => Writable::Alone,
        Now { alone: false, .. } => Writable::Yes,
    }
}

/// Refuses: what the status says, until nobody asks any more. A log that cannot be written for less time than a push
/// waits for it refuses none.
pub fn refuses(
    view: watch::Receiver<View>,
    data: PathBuf,
    writable: watch::Receiver<Writable>,
) -> watch::Receiver<Option<Refusal>> {
    let (refuses, seen) = watch::channel(None);
    tokio::spawn(async move {
        let mut since = None;
        loop {
            let volume = data.clone();
            let room = tokio::task::spawn_blocking(move || room(&volume)).await.ok().flatten();
            let (now, refused) = (*writable.borrow(), view.borrow().refused.clone());
            since = matches!(now, Writable::No(_)).then(|| since.unwrap_or_else(Instant::now));
            let unwritable = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
            let now = decide(now, unwritable, refused.as_ref(), room);
            refuses.send_if_modified(|before| std::mem::replace(before, now) != now);
            tokio::select! {
                () = refuses.closed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
    seen
}

/// `room`: what the volume has left; None: it does not say.
fn decide(
    writable: Writable,
    unwritable: Duration,
    refused: Option<&WriteFailure>,
    room: Option<u64>,
) -> Option<Refusal> {
    match writable {
        Writable::No(why) if unwritable >= WRITABLE_WAIT => return Some(why),
        Writable::No(_) | Writable::Alone | Writable::Yes => {}
    }
    match (refused, room) {
        (_, Some(room)) if room < ROOM_BYTES => Some(Refusal::VolumeFull),
        (Some(WriteFailure::Full(_)), None) => Some(Refusal::VolumeFull),
        (Some(WriteFailure::Storage(_)), _) => Some(Refusal::VolumeFails),
        // It may have been too large for what was left: smaller ones are taken.
        (Some(WriteFailure::Full(_) | WriteFailure::NotNow) | None, _) => None,
    }
}

fn room(data: &Path) -> Option<u64> {
    let volume = statvfs(data).ok()?;
    Some(volume.f_bavail.saturating_mul(volume.f_frsize))
}

pub fn status(log: &Log, refuses: Option<Refusal>) -> LogStatus {
    let positions = log.positions();
    let bytes = log.segments().iter().map(|segment| segment.bytes).sum();
    LogStatus { start: positions.start, committed: positions.committed, bytes, refuses }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_said_to_fail_when_two_proofs_have_failed_and_no_longer_when_one_goes_well() {
        let (mut proofs, fails) = (Proofs::default(), |why: &str| Err(why.to_owned()));
        assert_eq!(proofs.take(fails("no Mercurial")), None);
        assert_eq!(proofs.take(Ok(())), None);
        assert_eq!(proofs.take(fails("no folder")), None);
        assert_eq!(proofs.take(fails("no gate")).as_deref(), Some("no gate"));
        assert_eq!(proofs.take(fails("no folder")).as_deref(), Some("no folder"));
        assert_eq!(proofs.take(Ok(())), None);
        assert_eq!(proofs.take(fails("no folder")), None);
    }

    #[test]
    fn pushes_are_taken_while_everybody_is_there_whom_a_commit_needs() {
        let well = || Now { lease_is_over: false, draining: false, enough: true, all_there: true, alone: false };
        let table = [
            (well(), Writable::Yes),
            (Now { alone: true, ..well() }, Writable::Alone),
            (Now { all_there: false, ..well() }, Writable::No(Refusal::StandbyAway)),
            (Now { enough: false, all_there: false, ..well() }, Writable::No(Refusal::NoStandby)),
            (Now { draining: true, enough: false, ..well() }, Writable::No(Refusal::Draining)),
            (Now { lease_is_over: true, draining: true, ..well() }, Writable::No(Refusal::LeaseOver)),
        ];
        for (now, expected) in table {
            assert_eq!(taken(&now), expected);
        }
    }

    #[test]
    fn a_log_refuses_when_a_push_that_waits_for_it_does_so_in_vain() {
        let (away, plenty) = (Writable::No(Refusal::StandbyAway), Some(ROOM_BYTES));
        let (full, fails) = (WriteFailure::Full("".into()), WriteFailure::Storage("".into()));
        let table = [
            (Writable::Yes, 0, None, plenty, None),
            (Writable::Alone, 0, None, plenty, None),
            (away, 9, None, plenty, None),
            (away, 10, None, plenty, Some(Refusal::StandbyAway)),
            (Writable::Yes, 0, None, Some(ROOM_BYTES - 1), Some(Refusal::VolumeFull)),
            (Writable::Yes, 0, Some(&full), plenty, None),
            (Writable::Yes, 0, Some(&full), None, Some(Refusal::VolumeFull)),
            (Writable::Yes, 0, Some(&fails), plenty, Some(Refusal::VolumeFails)),
            (Writable::Yes, 0, Some(&WriteFailure::NotNow), plenty, None),
        ];
        for (writable, seconds, refused, room, expected) in table {
            let found = decide(writable, Duration::from_secs(seconds), refused, room);
            assert_eq!(found, expected, "{writable:?} {seconds} {refused:?} {room:?}");
        }
    }
}
