use super::*;

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn policy(detection: u64, min_interval: u64) -> Policy {
    Policy { detection: seconds(detection), min_interval: seconds(min_interval), ..Policy::default() }
}

/// A register of this generation whose newest promotion was begun then, for that.
fn state(generation: u64, promotion: Option<(Reason, u64)>) -> State {
    let state = State { generation: Generation(generation), ..State::default() };
    promotion.map_or(state.clone(), |(why, at)| state.begun(why.to_string(), at))
}

#[test]
fn each_promotion_for_silence_doubles_the_wait_up_to_the_interval() {
    let mut backoff = Backoff::default();
    backoff.look(seconds(0), &state(7, None));
    for (count, expected) in [3, 6, 12, 24, 48, 60, 60].into_iter().enumerate() {
        assert_eq!(backoff.patience(seconds(1), &policy(3, 60)), seconds(expected), "after {count}");
        let generation = 8 + 2 * count as u64;
        backoff.look(seconds(1), &state(generation, Some((Reason::Silent, generation))));
        // Seen again, named, opened: that is the same promotion.
        backoff.look(seconds(1), &state(generation, Some((Reason::Silent, generation))));
        backoff.look(seconds(1), &state(generation + 1, Some((Reason::Silent, generation))));
    }
    assert_eq!(backoff.patience(seconds(60), &policy(3, 60)), seconds(60));
    assert_eq!(backoff.wait(seconds(60), &policy(3, 60)), Some(seconds(60)));
    assert_eq!(backoff.wait(seconds(61), &policy(3, 60)), None);
    assert_eq!(backoff.patience(seconds(61), &policy(3, 60)), seconds(3), "the interval is over");
    for (detection, interval, expected) in [(3, 0, 3), (90, 60, 90), (40, 60, 60)] {
        assert_eq!(backoff.patience(seconds(1), &policy(detection, interval)), seconds(expected));
    }
}

#[test]
fn other_reasons_and_restarts_of_a_master_count_nothing() {
    let hard = [Reason::Ended, Reason::Gone, Reason::Fenced, Reason::Emptied, Reason::NotOpened, Reason::Asked];
    let mut backoff = Backoff::default();
    backoff.look(seconds(0), &state(1, None));
    for (generation, why) in (2..).step_by(2).zip(hard) {
        backoff.look(seconds(1), &state(generation, Some((why, generation))));
        backoff.look(seconds(1), &state(generation + 1, Some((why, generation))));
    }
    for generation in 14..30 {
        backoff.look(seconds(1), &state(generation, Some((Reason::Asked, 12))));
    }
    assert_eq!(backoff.seen, Vec::<Duration>::new());
}

#[test]
fn what_nobody_saw_counts() {
    let patience = |found: &[State]| {
        let mut backoff = Backoff::default();
        found.iter().for_each(|state| backoff.look(seconds(1), state));
        backoff.patience(seconds(1), &policy(3, 600)).as_secs()
    };
    let silent = |generation, at| state(generation, Some((Reason::Silent, at)));
    assert_eq!(patience(&[state(7, None), silent(9, 1)]), 6, "frozen, named and opened between two looks");
    assert_eq!(patience(&[state(7, None), silent(11, 2)]), 12, "two of them");
    assert_eq!(patience(&[state(7, None), state(11, Some((Reason::Ended, 2)))]), 6, "the one before the last");
    assert_eq!(patience(&[state(7, None), state(9, None)]), 6, "it was withdrawn");
    assert_eq!(patience(&[silent(7, 1)]), 6, "one who has only just begun to look");
    assert_eq!(patience(&[silent(8, 1), state(7, None), silent(8, 1), silent(9, 1)]), 6, "an old answer");
    assert_eq!(patience(&[state(7, None), state(u64::MAX, None)]), 600);
}

/// With the defaults, whatever a network does: what docs/architecture.md says.
#[test]
fn silence_makes_four_promotions_a_minute_at_most() {
    let (policy, mut backoff, mut begun) = (Policy::default(), Backoff::default(), vec![]);
    let mut since = seconds(0);
    for now in (0..6_000).map(|tenths| Duration::from_millis(100 * tenths)) {
        let reign = 2 * begun.len() as u64 + 8;
        if now - since < backoff.patience(now, &policy) {
            backoff.look(now, &state(reign, None));
            continue;
        }
        begun.push(now);
        since = now;
        backoff.look(now, &state(reign + 1, Some((Reason::Silent, reign))));
    }
    let in_a_minute = |from: &Duration| begun.iter().filter(|at| **at >= *from && **at - *from < seconds(60)).count();
    assert_eq!(begun.iter().map(in_a_minute).max(), Some(4), "{begun:?}");
}
