//! Finds instances without a process, where each has a volume of its own. It spares waiting for their silence and
//! proves nothing: what is wrong here costs a switchover, and no push.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use failover::Observed;
use k8s_openapi::api::core::v1::{ContainerStateRunning, Pod};
use kube::ResourceExt;
use protocol::InstanceName;

use super::ending::{container, terminated};

/// Instances whose pod is there without a process, and since when that is seen.
#[derive(Default)]
pub struct Idle(BTreeMap<InstanceName, Duration>);

impl Idle {
    /// The kubelet tells late that a process runs: one that has answered since its pod was seen without one does.
    /// Where there is no pod, whatever still answers can be reached by nobody else.
    pub fn look<'a>(
        &mut self,
        now: Duration,
        instances: impl Iterator<Item = &'a InstanceName>,
        pods: &[Arc<Pod>],
        observed: &mut Observed,
    ) {
        observed.ended.clear();
        for name in instances {
            let pod = pods.iter().find(|pod| pod.name_any() == name.as_str());
            let ended = if pod.is_some_and(|pod| is_idle(pod, pods)) {
                let since = *self.0.entry(name.clone()).or_insert(now);
                let later = observed.answers.get(name).is_some_and(|(at, _)| *at > since);
                !(later && observed.answer(now, name).is_some())
            } else {
                self.0.remove(name);
                pod.is_none()
            };
            if ended {
                observed.ended.insert(name.clone());
            }
        }
    }
}

/// Answers whether the container has ended and is not started again yet, or the pod was made in place of another and
/// has not started its own. Where all were made anew, nobody was there before: the master may be back as soon as
/// anybody else.
fn is_idle(pod: &Pod, pods: &[Arc<Pod>]) -> bool {
    let made = pod.metadata.creation_timestamp.as_ref();
    let before = |other: &Arc<Pod>| {
        running(other)
            .and_then(|running| running.started_at.as_ref())
            .is_some_and(|at| made.is_some_and(|made| at < made))
    };
    terminated(pod).is_some() || (running(pod).is_none() && pods.iter().any(before))
}

fn running(pod: &Pod) -> Option<&ContainerStateRunning> {
    container(pod)?.state.as_ref()?.running.as_ref()
}

#[cfg(test)]
mod tests {
    use failover::{InstanceReport, LogEnd};
    use protocol::Generation;
    use protocol::status::Role;
    use serde_json::{Value, json};

    use super::*;

    /// Made at that second; its container is in that state.
    fn pod(ordinal: u32, made: u32, state: &Value) -> Arc<Pod> {
        let container = json!({"name": "hgd", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                               "state": state});
        let containers = if state.is_null() { json!([]) } else { json!([container]) };
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": format!("hg-ssh-{ordinal}"), "creationTimestamp": time(made)},
                "status": {"containerStatuses": containers},
            }))
            .unwrap(),
        )
    }

    fn time(second: u32) -> String {
        format!("2026-01-01T00:00:{second:02}Z")
    }

    fn running(since: u32) -> Value {
        json!({"running": {"startedAt": time(since)}})
    }

    fn name(ordinal: u32) -> InstanceName {
        format!("hg-ssh-{ordinal}").parse().unwrap()
    }

    struct Looks {
        idle: Idle,
        observed: Observed,
    }

    impl Looks {
        fn new() -> Looks {
            Looks { idle: Idle::default(), observed: Observed::default() }
        }

        /// After which it was answered, when hg-ssh-0 answered last; whether it counts as ended.
        fn look(&mut self, now: u64, answered: Option<u64>, pods: &[Arc<Pod>]) -> bool {
            let end = LogEnd::default();
            let report = InstanceReport {
                name: name(0),
                disk: None,
                role: Role::Master,
                generation: Generation(7),
                sealed: Generation(7),
                replication: end,
                publication: end,
                heard: None,
                open: true,
                released: false,
                unable: None,
            };
            let answer = answered.map(|at| (name(0), (Duration::from_millis(at), report)));
            self.observed.answers = answer.into_iter().collect();
            let names = [name(0), name(1)];
            self.idle.look(Duration::from_millis(now), names.iter(), pods, &mut self.observed);
            self.observed.ended.contains(&name(0))
        }
    }

    #[test]
    fn a_pod_that_took_anothers_place_has_no_process_before_it_starts_one() {
        let (none, waiting, empty) = (json!(null), json!({"waiting": {"reason": "ContainerCreating"}}), json!({}));
        let ended = json!({"terminated": {"exitCode": 137}});
        let standby = pod(1, 1, &running(2));
        let beside = |master: Arc<Pod>| vec![master, standby.clone()];
        let table = [
            ("there is no pod", vec![standby.clone()], true),
            ("it was made anew", beside(pod(0, 10, &none)), true),
            ("its container is being made", beside(pod(0, 10, &waiting)), true),
            ("nothing is said of its container", beside(pod(0, 10, &empty)), true),
            ("its container has ended", beside(pod(0, 1, &ended)), true),
            ("it runs", beside(pod(0, 1, &running(3))), false),
            ("it runs again", beside(pod(0, 10, &running(11))), false),
            ("all were made anew, nobody runs", vec![pod(0, 10, &none), pod(1, 10, &waiting)], false),
            ("all were made anew, the other one runs", vec![pod(0, 10, &none), pod(1, 9, &running(11))], false),
            ("both began in the same second", vec![pod(0, 10, &none), pod(1, 9, &running(10))], false),
            ("all ended", vec![pod(0, 1, &ended), pod(1, 1, &ended)], true),
            ("it was alone", vec![pod(0, 10, &none)], false),
        ];
        for (what, pods, expected) in table {
            // A moment ago it still answered.
            assert_eq!(Looks::new().look(5_000, Some(4_900), &pods), expected, "{what}");
        }
    }

    #[test]
    fn who_answers_after_the_end_was_seen_is_another_process() {
        let ended = json!({"terminated": {"exitCode": 137}});
        let standby = pod(1, 1, &running(2));
        for late in [pod(0, 10, &json!(null)), pod(0, 1, &ended)] {
            let pods = [late, standby.clone()];
            let mut looks = Looks::new();
            assert!(looks.look(5_000, Some(5_000), &pods), "this answer may be the last word of the one that ended");
            assert!(looks.look(5_500, Some(5_000), &pods));
            assert!(!looks.look(5_600, Some(5_550), &pods), "it is back, and the kubelet has not told");
            assert!(looks.look(9_000, Some(5_550), &pods), "it was the old one, or is gone again");
            assert!(!looks.look(9_100, Some(9_050), &pods));
            // It is told, and ends once more.
            assert!(!looks.look(9_200, Some(9_150), &[pod(0, 10, &running(11)), standby.clone()]));
            assert!(looks.look(9_300, Some(9_250), &pods));
        }
        // Without a pod nobody finds it, and its place is made anew.
        let mut looks = Looks::new();
        assert!(looks.look(5_000, Some(4_900), std::slice::from_ref(&standby)));
        assert!(looks.look(5_600, Some(5_550), std::slice::from_ref(&standby)));
        let pods = [pod(0, 10, &json!(null)), standby];
        assert!(looks.look(5_700, Some(5_650), &pods));
        assert!(!looks.look(5_800, Some(5_750), &pods));
    }
}
