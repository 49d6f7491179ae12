use super::*;

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn disk(text: &str) -> DiskId {
    text.parse().unwrap()
}

fn both(offset: u64) -> PerLog<Offset> {
    PerLog::of(|_| Offset(offset))
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// A register, the keeper, and what it sees.
struct World {
    now: Duration,
    register: Versioned<State>,
    keeper: Keeper,
    seen: MasterView,
}

impl World {
    /// Generation 3 of `ssh-0`, with `ssh-1` in its set, connected, and everything stored.
    fn new(strict: bool) -> World {
        let opened = State { generation: Generation(2), master: Some(name("ssh-0")), ..State::default() };
        let value = opened.opened(&name("ssh-0"), &disk("zero")).with_set(&[(name("ssh-1"), disk("one"))].into());
        let register = Versioned { version: Version::File(1), value };
        let keeper = Keeper::new(name("ssh-0"), register.clone(), strict);
        let seen = MasterView { ends: both(5), committed: both(5), ..MasterView::default() };
        let mut world = World { now: seconds(10), register, keeper, seen };
        world.stores("ssh-1", "one", 5);
        assert_eq!(world.decide(), Step::Nothing);
        world
    }

    fn stores(&mut self, who: &str, on: &str, through: u64) {
        self.seen.standbys.insert(name(who), Standby { disk: disk(on), stored: both(through), leaving: false });
    }

    fn decide(&mut self) -> Step {
        self.keeper.decide(self.now, &self.seen)
    }

    fn required(&self) -> Vec<&str> {
        self.keeper.required().keys().map(InstanceName::as_str).collect()
    }

    /// Carries out a write that must be decided now.
    fn write(&mut self) -> State {
        let Step::Write(expected, state) = self.decide() else { panic!("a write") };
        assert_eq!(expected, self.register.version);
        self.land(state.clone());
        self.keeper.wrote(state.clone(), Ok(self.register.version.clone()));
        state
    }

    fn land(&mut self, value: State) {
        let Version::File(version) = self.register.version else { unreachable!("a file") };
        self.register = Versioned { version: Version::File(version + 1), value };
    }
}

#[test]
fn a_lost_standby_leaves_the_register_first_and_the_commit_rule_after() {
    let mut world = World::new(false);
    world.seen.standbys.clear();
    assert_eq!(world.decide(), Step::Nothing, "it may come back");
    world.now += PATIENCE;
    let state = world.write();
    assert!(state.in_sync.is_empty());
    assert_eq!(world.required(), ["ssh-1"], "not before the write is known");
    assert_eq!(world.decide(), Step::Require(Members::new()));
    assert!(world.keeper.enough());
}

#[test]
fn one_that_stores_nothing_is_as_good_as_lost_and_a_slow_one_is_not() {
    let mut world = World::new(false);
    for end in 6..40 {
        world.now += seconds(1);
        world.seen.ends = both(end);
        world.stores("ssh-1", "one", end - 1);
        assert_eq!(world.decide(), Step::Nothing, "always one record behind");
    }
    world.now += PATIENCE;
    assert!(matches!(world.decide(), Step::Write(..)), "no further for seconds");
}

#[test]
fn one_that_leaves_in_order_is_not_waited_for() {
    let leaves = |world: &mut World| world.seen.standbys.get_mut(&name("ssh-1")).unwrap().leaving = true;
    let mut world = World::new(false);
    leaves(&mut world);
    assert!(world.write().in_sync.is_empty());
    assert_eq!(world.decide(), Step::Require(Members::new()));
    world.now += seconds(3600);
    assert_eq!(world.decide(), Step::Nothing, "it is not taken in again");
    world.stores("ssh-1", "one", 5);
    assert!(matches!(world.decide(), Step::Require(_)), "it is back");
    leaves(&mut world);
    assert_eq!(world.decide(), Step::Require(Members::new()), "before it has joined");

    let mut world = World::new(true);
    leaves(&mut world);
    assert_eq!(world.decide(), Step::Nothing, "rather no push than one on one disk only");
}

#[test]
fn strict_waits_for_the_last_member() {
    let mut world = World::new(true);
    world.seen.standbys.clear();
    world.now += seconds(3600);
    assert_eq!(world.decide(), Step::Nothing);
    assert_eq!(world.required(), ["ssh-1"]);
    // A reign that begins with nobody takes no pushes until somebody has joined.
    let value = State { in_sync: BTreeSet::new(), ..world.register.value.clone() };
    let mut keeper = Keeper::new(name("ssh-0"), Versioned { version: Version::File(1), value }, true);
    assert!(!keeper.enough());
    let Step::Require(required) = ({
        world.stores("ssh-1", "one", 5);
        keeper.decide(world.now, &world.seen)
    }) else {
        panic!("a requirement")
    };
    assert!(required.contains_key(&name("ssh-1")) && keeper.enough());
}

#[test]
fn one_that_comes_back_is_waited_for_before_the_register_says_so() {
    let mut world = World::new(false);
    world.stores("ssh-2", "two", 4);
    assert_eq!(world.decide(), Step::Nothing, "it has not caught up");
    world.stores("ssh-2", "two", 5);
    assert!(matches!(world.decide(), Step::Require(_)));
    assert_eq!(world.required(), ["ssh-1", "ssh-2"]);
    let state = world.write();
    assert_eq!(state.in_sync, [name("ssh-1"), name("ssh-2")].into());
    assert_eq!(state.disks[&name("ssh-2")], disk("two"));
    assert_eq!(world.decide(), Step::Nothing);
}

#[test]
fn one_that_stalls_while_it_joins_does_not_stall_pushes() {
    let mut world = World::new(false);
    world.stores("ssh-2", "two", 5);
    assert!(matches!(world.decide(), Step::Require(_)));
    // It had everything a moment ago, and now says that it has not.
    world.stores("ssh-2", "two", 4);
    world.now += PATIENCE;
    let Step::Require(members) = world.decide() else { panic!("a requirement") };
    assert_eq!(members.keys().collect::<Vec<_>>(), [&name("ssh-1")]);
    world.stores("ssh-2", "two", 5);
    assert_eq!(world.decide(), Step::Nothing, "not at once");
    world.now += PATIENCE;
    assert!(matches!(world.decide(), Step::Require(_)));
}

#[test]
fn while_a_write_has_no_answer_commits_need_whoever_the_register_may_hold() {
    for landed in [false, true] {
        let mut world = World::new(false);
        world.stores("ssh-2", "two", 5);
        assert!(matches!(world.decide(), Step::Require(_)));
        let Step::Write(_, joined) = world.decide() else { panic!("a write") };
        if landed {
            world.land(joined.clone());
        }
        world.keeper.wrote(joined, Err(Outcome::Unknown));
        world.seen.standbys.remove(&name("ssh-2"));
        assert_eq!(world.decide(), Step::Read);
        world.keeper.read(world.register.clone());
        assert_eq!(world.required(), ["ssh-1", "ssh-2"], "landed: {landed}");
        if landed {
            // Now there is no doubt, and the lost one leaves as any other.
            assert_eq!(world.write().in_sync, [name("ssh-1"), name("ssh-2")].into());
            world.now += PATIENCE;
            assert_eq!(world.write().in_sync, [name("ssh-1")].into());
        } else {
            // A write that changes nothing, but that makes the other one impossible.
            assert_eq!(world.write().in_sync, [name("ssh-1")].into());
        }
        assert!(matches!(world.decide(), Step::Require(_)));
        assert_eq!(world.required(), ["ssh-1"], "landed: {landed}");
    }
}

#[test]
fn an_emptied_standby_counts_only_when_it_has_everything_and_the_register_means_it() {
    let mut world = World::new(true);
    world.stores("ssh-1", "new", 2);
    world.now += seconds(60);
    assert_eq!(world.decide(), Step::Nothing);
    assert_eq!(world.keeper.required()[&name("ssh-1")], Some(disk("one")));
    world.stores("ssh-1", "new", 5);
    let state = world.write();
    assert_eq!(state.disks[&name("ssh-1")], disk("new"));
    assert!(matches!(world.decide(), Step::Require(_)));
    assert_eq!(world.keeper.required()[&name("ssh-1")], Some(disk("new")));
}

#[test]
fn a_master_that_reads_of_another_generation_is_deposed() {
    let mut world = World::new(false);
    let frozen = world.register.value.frozen();
    world.land(frozen);
    world.seen.standbys.clear();
    world.now += PATIENCE;
    assert_eq!(world.decide(), Step::Nothing);
    world.now += PATIENCE;
    let Step::Write(_, state) = world.decide() else { panic!("a write") };
    world.keeper.wrote(state, Err(Outcome::Conflict));
    assert_eq!(world.decide(), Step::Read);
    world.keeper.read(world.register.clone());
    assert_eq!(world.decide(), Step::Deposed);
    assert_eq!(world.required(), ["ssh-1"], "and never commits alone");
}

#[test]
fn an_old_answer_of_the_register_takes_nobody_out() {
    let mut world = World::new(false);
    let old = world.register.clone();
    world.stores("ssh-2", "two", 5);
    assert!(matches!(world.decide(), Step::Require(_)));
    assert_eq!(world.write().in_sync, [name("ssh-1"), name("ssh-2")].into());
    world.keeper.read(old);
    world.keeper.read(Versioned { version: Version::File(9), value: State::default() });
    assert!(!matches!(world.decide(), Step::Deposed), "an older generation");
    assert_eq!(world.required(), ["ssh-1", "ssh-2"]);
}
