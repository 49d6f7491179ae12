//! Which SSH pod is replaced next: mirrors are first, then the standbys one by one, the master last, and never while
//! anything else is amiss.

/// One SSH pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    /// Of the template that it was made from.
    pub revision: String,
    pub ready: bool,
    pub going: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<'a> {
    pub pods: &'a [Pod],
    pub instances: u32,
    /// Of the template as it is wanted now; None: the StatefulSet's controller has not said it yet.
    pub revision: Option<&'a str>,
    pub master: Option<&'a str>,
    /// Who may take its place, and since which generation; None: nobody may, because a person wants it so, or because
    /// there is one instance only.
    pub switchover: Option<Switchover>,
    /// A pool that is still replacing its mirrors.
    pub rolling_pool: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switchover {
    /// Of the master now.
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
    // One that does not work has nothing to lose, and is perhaps why there is a new template.
    let broken = state.pods.iter().filter(old).find(|pod| !pod.ready && Some(pod.name.as_str()) != state.master);
    if let Some(pod) = broken {
        return Step::Restart { pod: pod.name.clone() };
    }
    if let Some(pool) = state.rolling_pool {
        return Step::Wait(format!("MirrorPool '{pool}' is replacing its mirrors first"));
    }
    if let Some(pod) = state.pods.iter().find(|pod| pod.going) {
        return Step::Wait(format!("{} is ending", pod.name));
    }
    let standbys_ready = state.pods.iter().filter(|pod| Some(pod.name.as_str()) != state.master).all(|pod| pod.ready);
    let all = u32::try_from(state.pods.len()).is_ok_and(|there| there >= state.instances);
    if !standbys_ready || !all {
        return Step::Wait("an instance that was replaced is not ready yet".to_owned());
    }
    let standby = state.pods.iter().filter(old).find(|pod| Some(pod.name.as_str()) != state.master);
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
        State { pods, instances: 2, revision: Some("2"), master: Some("a"), switchover: None, rolling_pool: None }
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
    fn a_single_master_is_replaced_too_and_one_that_is_ending_is_waited_for() {
        let pods = [pod("a", "1", true)];
        assert_eq!(decide(&State { instances: 1, ..state(&pods) }), restart("a"));
        let pods = [pod("a", "1", false)];
        assert_eq!(decide(&State { instances: 1, ..state(&pods) }), restart("a"));
        let going = Pod { going: true, ..pod("b", "1", false) };
        assert!(matches!(decide(&state(&[pod("a", "1", true), going])), Step::Wait(_)));
    }
}
