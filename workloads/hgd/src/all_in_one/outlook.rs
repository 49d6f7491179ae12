//! Outlook on the master's place, for whoever asks while nobody answers as master: what is so, what is waited for, and
//! until when.

use std::collections::BTreeSet;
use std::time::Duration;

use failover::decide::Trouble;
use failover::{Missing, Observed, Policy, Step};
use protocol::status::{Absence, Role};
use protocol::{Generation, InstanceName};
use register::State;

/// How long a master that has opened may take until it says how it is.
const MOMENT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub struct Outlook {
    pub generation: Generation,
    /// As the register has it.
    pub in_sync: BTreeSet<InstanceName>,
    /// None: a master takes pushes, or did a moment ago.
    pub absence: Option<Absence>,
    /// When one last did.
    pub led: Duration,
    /// Milliseconds without a master before the present one opened, while that was a moment ago.
    pub before_it_opened: u64,
    pub opened: Duration,
}

/// One look of the governor.
pub struct Look<'a> {
    pub now: Duration,
    pub observed: &'a Observed,
    pub policy: &'a Policy,
    pub step: &'a Step,
    /// Why a register that is missing is not made again.
    pub missing: Option<&'a Missing>,
}

impl Outlook {
    pub fn update(&mut self, look: &Look<'_>) {
        if let Some(register) = &look.observed.register {
            self.generation = register.value.generation;
            self.in_sync = register.value.in_sync.clone();
        }
        let Some((sentence, ends_within)) = look.absence() else {
            if let Some(absence) = self.absence.take() {
                (self.before_it_opened, self.opened) = (absence.milliseconds, look.now);
            } else if look.now.saturating_sub(self.opened) > MOMENT {
                self.before_it_opened = 0;
            }
            self.led = look.now;
            return;
        };
        let milliseconds = milliseconds(look.now.saturating_sub(self.led));
        self.absence = Some(Absence { milliseconds, sentence, ends_within: ends_within.map(self::milliseconds) });
    }
}

type Said = (String, Option<Duration>);

impl Look<'_> {
    fn absence(&self) -> Option<Said> {
        let Some(register) = &self.observed.register else {
            let sentence = self.missing.map_or("the register cannot be read".to_owned(), ToString::to_string);
            return Some((sentence, None));
        };
        match &register.value.master {
            None => Some((self.frozen(&register.value), None)),
            Some(master) => self.named(master),
        }
    }

    fn frozen(&self, state: &State) -> String {
        let why = state.promotion.as_ref().map(|promotion| format!(" ({})", promotion.reason)).unwrap_or_default();
        match (self.step, self.step.trouble()) {
            (_, Some(trouble)) => format!("a promotion is under way{why}: {trouble}"),
            (Step::Seal { members, .. }, None) => {
                let members: Vec<&str> = members.iter().map(InstanceName::as_str).collect();
                format!("a promotion is under way{why}: {} is to be sealed, then named", members.join(" or "))
            }
            _ => format!("a promotion is under way{why}"),
        }
    }

    fn named(&self, master: &InstanceName) -> Option<Said> {
        let trouble = self.step.trouble();
        if self.observed.ended.contains(master) {
            let goes_on = trouble.map_or("it is started again, or another becomes master".into(), ToString::to_string);
            return Some((format!("the process of {master} has ended: {goes_on}"), None));
        }
        match self.observed.answer(self.now, master) {
            Some(report) if report.role == Role::Master && report.open => None,
            Some(_) => Some((format!("{master} is named master and opens its logs"), None)),
            None => Some(self.silent(master)),
        }
    }

    fn silent(&self, master: &InstanceName) -> Said {
        let answered = self.observed.answers.get(master).map_or(Duration::ZERO, |(at, _)| *at);
        let silent = self.now.saturating_sub(answered);
        match self.step.trouble() {
            Some(trouble) => {
                let ends = match trouble {
                    Trouble::TooSoon(patience) => Some(patience.saturating_sub(silent)),
                    _ => None,
                };
                (format!("{master} does not answer: {trouble}"), ends)
            }
            None => {
                let detection = self.policy.detection;
                let seconds = detection.as_secs();
                let sentence = format!(
                    "{master} does not answer: another becomes master when it has been silent for {seconds} s"
                );
                (sentence, Some(detection.saturating_sub(silent)))
            }
        }
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use failover::InstanceReport;
    use register::{Promotion, Version, Versioned};

    use super::*;

    const NAME: &str = "ssh-0";

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn observed(master: Option<&str>, answered: Option<(u64, bool)>) -> Observed {
        let begun = Promotion { from: None, reason: "the master is silent".into(), begun: 1, made: None };
        let value = State {
            generation: Generation(8),
            master: master.map(|name| name.parse().unwrap()),
            promotion: master.is_none().then(|| Box::new(begun)),
            ..State::default()
        };
        let answer = |(at, open): (u64, bool)| {
            let report: InstanceReport = serde_json::from_value(serde_json::json!({
                "name": NAME, "disk": null, "role": if open { "master" } else { "standby" }, "generation": 8,
                "sealed": 0, "replication": {"generation": 8, "offset": 5},
                "publication": {"generation": 8, "offset": 5}, "heard": null, "open": open,
            }))
            .unwrap();
            (NAME.parse().unwrap(), (seconds(at), report))
        };
        let register = Some(Versioned { version: Version::None, value });
        Observed { register, answers: answered.map(answer).into_iter().collect(), ..Observed::default() }
    }

    /// At 10 s, after a master that was last seen to take pushes at 8 s.
    #[test]
    fn what_is_waited_for_is_told_with_its_end() {
        let ended =
            Observed { ended: BTreeSet::from([NAME.parse().unwrap()]), ..observed(Some(NAME), Some((9, true))) };
        let sealing =
            Step::Seal { generation: Generation(8), members: ["ssh-1".parse().unwrap()].into(), trouble: None };
        let alone = Step::Wait(Trouble::NobodyInSync);
        let late = Step::Wait(Trouble::TooSoon(seconds(6)));
        for (observed, step, expected, within) in [
            (
                observed(Some(NAME), Some((8, true))),
                &Step::Nothing,
                "ssh-0 does not answer: another becomes",
                Some(1000),
            ),
            (
                observed(Some(NAME), Some((6, true))),
                &late,
                "ssh-0 does not answer: the master is silent or",
                Some(2000),
            ),
            (observed(Some(NAME), None), &alone, "ssh-0 does not answer: the master is gone, and no standby", None),
            (ended, &Step::Nothing, "the process of ssh-0 has ended: it is started again, or another", None),
            (
                observed(Some(NAME), Some((10, false))),
                &Step::Nothing,
                "ssh-0 is named master and opens its logs",
                None,
            ),
            (observed(None, None), &sealing, "a promotion is under way (the master is silent): ssh-1 is to be", None),
            (observed(None, None), &alone, "a promotion is under way (the master is silent): the master is", None),
            (Observed::default(), &Step::Nothing, "the register cannot be read", None),
        ] {
            let mut outlook = Outlook { led: seconds(8), ..Outlook::default() };
            let policy = Policy::default();
            outlook.update(&Look { now: seconds(10), observed: &observed, policy: &policy, step, missing: None });
            let absence = outlook.absence.unwrap();
            assert!(absence.sentence.starts_with(expected), "{}", absence.sentence);
            assert_eq!((absence.milliseconds, absence.ends_within), (2000, within), "{expected}");
        }
    }

    #[test]
    fn a_master_that_takes_pushes_is_not_absent() {
        let mut outlook = Outlook::default();
        let (observed, policy) = (observed(Some(NAME), Some((10, true))), Policy::default());
        let look =
            Look { now: seconds(10), observed: &observed, policy: &policy, step: &Step::Nothing, missing: None };
        outlook.update(&look);
        assert_eq!((outlook.absence, outlook.led), (None, seconds(10)));
    }

    #[test]
    fn the_time_without_a_master_is_known_until_the_next_one_has_said_how_it_is() {
        let (mut outlook, policy) = (Outlook::default(), Policy::default());
        for (at, opens, before) in [(4, false, 0), (5, true, 4000), (15, true, 4000), (16, true, 0)] {
            let observed = observed(Some(NAME), Some((at, opens)));
            let step = Step::Nothing;
            outlook.update(&Look {
                now: seconds(at),
                observed: &observed,
                policy: &policy,
                step: &step,
                missing: None,
            });
            assert_eq!(outlook.before_it_opened, before, "at {at} s");
        }
    }
}
