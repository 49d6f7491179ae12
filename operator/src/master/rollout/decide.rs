//! Decides which SSH pod is replaced next: mirrors are first, then the standbys one by one, the master last, and never
//! while anything else is amiss.

/// One SSH pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    /// Revision of the template that it was made from.
    pub revision: String,
    pub ready: bool,
    pub going: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<'a> {
    pub pods: &'a [Pod],
    pub instances: u32,
    /// Fewer instances are wanted, and the master is one of those that go.
    pub is_surplus: bool,
    /// Revision of the template as it is wanted now; None: the StatefulSet's controller has not said it yet.
    pub revision: Option<&'a str>,
    pub master: Option<&'a str>,
    /// Switchover: who may take its place, and since which generation; None: nobody may, because a person wants it so,
    /// or because there is one instance only.
    pub switchover: Option<Switchover>,
    /// A pool that is still replacing its mirrors.
    pub rolling_pool: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switchover {
    /// Generation of the master now.
    pub generation: u64,
    /// A standby is in sync.
    pub ready: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every pod is as wanted.
    Done,
    /// Said in the condition.
    Wait(String),
    Restart {
        pod: String,
    },
    /// Only the master is left to be replaced: it becomes a standby first.
    Switchover {
        generation: u64,
    },
}

pub fn decide(state: &State<'_>) -> Step {
    if let (true, Some(master)) = (state.is_surplus, state.master) {
        return match state.switchover {
            Some(Switchover { ready: true, generation }) => Step::Switchover { generation },
            Some(_) => Step::Wait("no standby is in sync yet, and the master is to go".to_owned()),
            None => Step::Wait(format!(
                "{master} is master and would go with spec.instances: another has to be made master first \
                 (kubectl hg promote)"
            )),
        };
    }
    let Some(revision) = state.revision else {
        return Step::Wait("the StatefulSet's controller has not seen the new template yet".to_owned());
    };
    let old = |pod: &&Pod| pod.revision != revision && !pod.going;
    let Some(_) = state.pods.iter().find(old) else {
        return match state.pods.iter().find(|pod| pod.going) {
            Some(pod) => Step::Wait(format!("{} is ending", pod.name)),
            None => Step::Done,
        };
    };
    // One that does not work has nothing to lose, and is perhaps why there is a new template. The master is left to a
    // promotion where there can be one; where not, nobody else becomes ready before it is.
    let promotable = state.switchover.is_some_and(|switchover| switchover.ready);
    let is_standby = |pod: &Pod| Some(pod.name.as_str()) != state.master;
    let broken = state.pods.iter().filter(old).find(|pod| !pod.ready && (is_standby(pod) || !promotable));
    if let Some(pod) = broken {
        return Step::Restart { pod: pod.name.clone() };
    }
    if let Some(pool) = state.rolling_pool {
        return Step::Wait(format!("MirrorPool '{pool}' is replacing its mirrors first"));
    }
    if let Some(pod) = state.pods.iter().find(|pod| pod.going) {
        return Step::Wait(format!("{} is ending", pod.name));
    }
    let standbys_ready = state.pods.iter().filter(|pod| is_standby(pod)).all(|pod| pod.ready);
    let all = u32::try_from(state.pods.len()).is_ok_and(|there| there >= state.instances);
    if !standbys_ready || !all {
        return Step::Wait("an instance that was replaced is not ready yet".to_owned());
    }
    let standby = state.pods.iter().filter(old).find(|pod| is_standby(pod));
    match (standby, state.switchover) {
        (None, Some(Switchover { ready: false, .. })) => Step::Wait("no standby is in sync yet".to_owned()),
        (None, Some(Switchover { generation, .. })) => Step::Switchover { generation },
        (standby, _) => {
            let next = standby.or_else(|| state.pods.iter().find(old));
            next.map_or(Step::Done, |pod| Step::Restart { pod: pod.name.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, revision: &str, ready: bool) -> Pod {
        Pod { name: name.into(), revision: revision.into(), ready, going: false }
    }

    fn state(pods: &[Pod]) -> State<'_> {
        State {
            pods,
            instances: 2,
            is_surplus: false,
            revision: Some("2"),
            master: Some("a"),
            switchover: None,
            rolling_pool: None,
        }
    }

    fn restart(pod: &str) -> Step {
        Step::Restart { pod: pod.into() }
    }

    #[test]
    fn the_standby_is_first_and_the_master_last() {
        assert_eq!(decide(&state(&[pod("a", "1", true), pod("b", "1", true)])), restart("b"));
        assert!(matches!(decide(&state(&[pod("a", "1", true), pod("b", "2", false)])), Step::Wait(_)));
        assert!(matches!(decide(&state(&[pod("a", "1", true)])), Step::Wait(_)));
        assert_eq!(decide(&state(&[pod("a", "1", true), pod("b", "2", true)])), restart("a"));
        assert_eq!(decide(&state(&[pod("a", "2", true), pod("b", "2", true)])), Step::Done);
    }

    #[test]
    fn the_master_gives_way_before_it_is_replaced() {
        let pods = [pod("a", "1", true), pod("b", "2", true)];
        let with = |ready| State { switchover: Some(Switchover { generation: 7, ready }), ..state(&pods) };
        assert_eq!(decide(&with(false)), Step::Wait("no standby is in sync yet".into()));
        assert_eq!(decide(&with(true)), Step::Switchover { generation: 7 });
        assert_eq!(decide(&State { master: Some("b"), ..with(true) }), restart("a"));
    }

    #[test]
    fn nothing_is_replaced_before_the_mirrors_but_what_does_not_work() {
        let pods = [pod("a", "1", true), pod("b", "1", true)];
        let rolling = State { rolling_pool: Some("web"), ..state(&pods) };
        assert_eq!(decide(&rolling), Step::Wait("MirrorPool 'web' is replacing its mirrors first".into()));
        let pods = [pod("a", "1", true), pod("b", "1", false)];
        assert_eq!(decide(&State { rolling_pool: Some("web"), ..state(&pods) }), restart("b"));
        assert!(matches!(decide(&State { revision: None, ..state(&pods) }), Step::Wait(_)));
    }

    #[test]
    fn a_master_that_does_not_work_is_replaced_when_nobody_can_take_its_place() {
        let pods = [pod("a", "1", false), pod("b", "2", false)];
        let with = |ready| State {
            switchover: Some(Switchover { generation: 7, ready }),
            rolling_pool: Some("web"),
            ..state(&pods)
        };
        assert_eq!(decide(&with(false)), restart("a"));
        assert!(matches!(decide(&with(true)), Step::Wait(_)), "a promotion replaces it");
        assert_eq!(decide(&State { switchover: None, ..with(true) }), restart("a"));
        let both = [pod("a", "1", false), pod("b", "1", true)];
        assert_eq!(decide(&State { pods: &both, ..with(false) }), restart("a"));
    }

    #[test]
    fn a_master_that_is_to_go_gives_way_first() {
        let pods = [pod("a", "2", true), pod("b", "2", true)];
        let surplus = State { is_surplus: true, master: Some("b"), ..state(&pods) };
        let with = |ready| State { switchover: Some(Switchover { generation: 7, ready }), ..surplus.clone() };
        assert_eq!(decide(&with(true)), Step::Switchover { generation: 7 });
        assert_eq!(decide(&with(false)), Step::Wait("no standby is in sync yet, and the master is to go".into()));
        assert!(matches!(decide(&surplus), Step::Wait(reason) if reason.contains("kubectl hg promote")));
        // In between, while the register names nobody.
        assert_eq!(decide(&State { master: None, ..surplus }), Step::Done);
    }

    #[test]
    fn a_single_master_is_replaced_too_and_one_that_is_ending_is_waited_for() {
        let pods = [pod("a", "1", true)];
        assert_eq!(decide(&State { instances: 1, ..state(&pods) }), restart("a"));
        let pods = [pod("a", "1", false)];
        assert_eq!(decide(&State { instances: 1, ..state(&pods) }), restart("a"));
        let going = Pod { going: true, ..pod("b", "1", false) };
        assert!(matches!(decide(&state(&[pod("a", "1", true), going])), Step::Wait(_)));
    }
}
