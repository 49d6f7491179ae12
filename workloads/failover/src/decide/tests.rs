use super::*;
use protocol::{DiskId, Offset};

const POLICY: Policy =
    Policy { enabled: true, detection: Duration::from_secs(3), min_interval: Duration::from_secs(60), shared: None };

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn disk(of: &str) -> DiskId {
    format!("disk-of-{of}").parse().unwrap()
}

fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number)
}

/// Generation 7 of `ssh-0`, with the others in its set.
fn state(others: &[&str]) -> State {
    let members: BTreeMap<_, _> = others.iter().map(|other| (name(other), disk(other))).collect();
    let opened = State { generation: Generation(6), master: Some(name("ssh-0")), ..State::default() };
    opened.opened(&name("ssh-0"), &disk("ssh-0")).with_set(&members)
}

struct World {
    now: Duration,
    observed: Observed,
    memory: Memory,
}

impl World {
    fn new(others: &[&str]) -> World {
        let register = Some(Versioned { version: Version::File(1), value: state(others) });
        let mut world = World {
            now: seconds(100.0),
            observed: Observed { register, ..Observed::default() },
            memory: Memory::default(),
        };
        world.answers("ssh-0", |report| (report.role, report.open) = (Role::Master, true));
        others.iter().for_each(|other| world.answers(other, |report| report.heard = Some(100)));
        assert_eq!(world.decide(), Step::Nothing);
        world
    }

    fn answers(&mut self, who: &str, change: impl FnOnce(&mut InstanceReport)) {
        let end = LogEnd { generation: Generation(7), offset: Offset(10) };
        let mut report = InstanceReport {
            name: name(who),
            disk: Some(disk(who)),
            role: Role::Standby,
            generation: Generation(7),
            sealed: Generation(7),
            replication: end,
            publication: end,
            heard: None,
            open: false,
            released: false,
            unable: None,
        };
        change(&mut report);
        self.observed.answers.insert(name(who), (self.now, report));
    }

    fn decide(&mut self) -> Step {
        decide(self.now, &self.observed, &POLICY, &mut self.memory)
    }

    /// The register takes a write.
    fn write(&mut self, state: State) {
        let register = self.observed.register.as_mut().unwrap();
        let Version::File(version) = register.version else { unreachable!("a file") };
        *register = Versioned { version: Version::File(version + 1), value: state };
    }
}

#[test]
fn who_could_take_over_in_order_answers_and_has_all_or_waits_for_the_volume() {
    let mut world = World::new(&["ssh-1", "ssh-2"]);
    world.answers("ssh-3", |report| report.heard = Some(100));
    world.observed.ended.insert(name("ssh-2"));
    assert_eq!(world.observed.ready(world.now, false), [name("ssh-1")]);
    assert!(world.observed.ready(world.now + FRESH, false).is_empty(), "what is old is no answer");
    assert!(world.observed.ready(world.now, true).is_empty(), "nobody has let go of the volume");
    for instance in ["ssh-0", "ssh-3"] {
        world.answers(instance, |report| report.released = true);
    }
    assert_eq!(world.observed.ready(world.now, true), [name("ssh-3")]);
    world.observed.register = None;
    assert!(world.observed.ready(world.now, false).is_empty());
}

#[test]
fn a_silent_master_is_replaced_by_a_sealed_standby() {
    let mut world = World::new(&["ssh-1"]);
    world.now += seconds(2.9);
    world.answers("ssh-1", |report| report.heard = Some(2_900));
    assert_eq!(world.decide(), Step::Nothing);
    world.now += seconds(0.1);
    world.answers("ssh-1", |report| report.heard = Some(3_000));
    let Step::Freeze { expected, state: frozen, why: Reason::Silent } = world.decide() else { panic!("a freeze") };
    assert_eq!((expected, frozen.generation, frozen.master.clone()), (Version::File(1), Generation(8), None));
    world.write(frozen);
    let members = [name("ssh-1")].into();
    assert_eq!(world.decide(), Step::Seal { generation: Generation(8), members, trouble: None });
    world.answers("ssh-1", |report| report.sealed = Generation(8));
    let Step::Name { state: named, proof, .. } = world.decide() else { panic!("a name") };
    assert_eq!(
        (named.generation, named.master, proof),
        (Generation(8), Some(name("ssh-1")), Proof::Sealed(name("ssh-1")))
    );
    assert!(named.in_sync.is_empty());
}

#[test]
fn one_path_alone_is_a_partition_and_no_death() {
    let mut world = World::new(&["ssh-1"]);
    for _ in 0..100 {
        world.now += seconds(1.0);
        world.answers("ssh-1", |report| report.heard = Some(200));
        assert_eq!(world.decide(), Step::Wait(Trouble::Partition));
    }
    // The other way round: the standby hears nothing, we do.
    let mut world = World::new(&["ssh-1"]);
    for _ in 0..100 {
        world.now += seconds(1.0);
        world.answers("ssh-0", |report| (report.role, report.open) = (Role::Master, true));
        world.answers("ssh-1", |report| report.heard = None);
        assert_eq!(world.decide(), Step::Nothing);
    }
}

#[test]
fn one_who_sees_nobody_promotes_nobody() {
    let mut world = World::new(&["ssh-1"]);
    world.now += seconds(60.0);
    assert_eq!(world.decide(), Step::Wait(Trouble::Blind));
    // One that is not in the set is somebody, too.
    world.answers("ssh-2", |_| ());
    assert_eq!(world.decide(), Step::Wait(Trouble::NobodyInSync));
    world.observed.register = None;
    assert_eq!(world.decide(), Step::Nothing);
    // A decider that has only just begun to look waits, whatever its predecessor saw.
    let mut world = World::new(&["ssh-1"]);
    (world.memory, world.observed.answers) = (Memory::default(), BTreeMap::new());
    world.answers("ssh-1", |_| ());
    assert_eq!(world.decide(), Step::Nothing);
}

#[test]
fn an_ended_process_is_not_waited_for() {
    let mut world = World::new(&["ssh-1"]);
    // A moment ago it still answered.
    world.observed.ended.insert(name("ssh-0"));
    assert!(matches!(world.decide(), Step::Freeze { why: Reason::Ended, .. }));
    let off = Policy { enabled: false, ..POLICY };
    let step = decide(world.now, &world.observed, &off, &mut world.memory);
    assert_eq!(step, Step::Wait(Trouble::Disabled));
}

#[test]
fn only_members_with_the_disk_that_is_meant_can_be_named() {
    let mut world = World::new(&["ssh-1"]);
    world.observed.ended.insert(name("ssh-0"));
    world.now += seconds(2.0);
    world.answers("ssh-1", |report| report.disk = Some(disk("another")));
    world.answers("ssh-2", |_| ());
    assert_eq!(world.decide(), Step::Wait(Trouble::NobodyInSync));
    world.observed.ended.clear();
    world.answers("ssh-0", |report| report.disk = Some(disk("another")));
    world.answers("ssh-1", |_| ());
    assert!(matches!(world.decide(), Step::Freeze { why: Reason::Emptied, .. }));
}

#[test]
fn the_most_advanced_of_the_sealed_is_named_and_the_others_stay_members() {
    let mut world = World::new(&["ssh-1", "ssh-2", "ssh-3"]);
    world.write(state(&["ssh-1", "ssh-2", "ssh-3"]).frozen());
    world.now += seconds(1.0);
    world.answers("ssh-1", |report| report.sealed = Generation(8));
    world.answers("ssh-2", |report| (report.sealed, report.replication.offset) = (Generation(8), Offset(11)));
    world.answers("ssh-3", |report| report.replication.offset = Offset(99));
    let members = [name("ssh-3")].into();
    assert_eq!(world.decide(), Step::Seal { generation: Generation(8), members, trouble: None });
    world.now += SEALING;
    let Step::Name { state: named, .. } = world.decide() else { panic!("a name") };
    assert_eq!(named.master, Some(name("ssh-2")));
    assert_eq!(named.in_sync, [name("ssh-1"), name("ssh-3")].into());
}

#[test]
fn a_promotion_that_can_seal_nobody_is_withdrawn() {
    let mut world = World::new(&["ssh-1"]);
    world.write(state(&["ssh-1"]).frozen());
    world.answers("ssh-0", |report| report.role = Role::Standby);
    world.observed.answers.remove(&name("ssh-1"));
    assert_eq!(world.decide(), Step::Wait(Trouble::Sealing));
    world.now += HOPELESS;
    world.answers("ssh-0", |report| report.role = Role::Standby);
    let Step::Withdraw { state: again, .. } = world.decide() else { panic!("a withdrawal") };
    assert_eq!((again.generation, &again.master), (Generation(8), &Some(name("ssh-0"))));
    assert_eq!(again.in_sync, [name("ssh-1")].into());
}

#[test]
fn a_standby_that_answers_and_cannot_be_sealed_does_not_hold_the_promotion_up_for_ever() {
    let mut world = World::new(&["ssh-1"]);
    world.write(state(&["ssh-1"]).frozen());
    let sealing = |trouble| Step::Seal { generation: Generation(8), members: [name("ssh-1")].into(), trouble };
    assert_eq!(world.decide(), sealing(None));
    world.now += HOPELESS;
    world.observed.answers.clear();
    world.answers("ssh-1", |_| ());
    assert_eq!(world.decide(), sealing(Some(Trouble::Sealing)), "the old master is not there either");
    assert_eq!(world.decide().trouble(), Some(&Trouble::Sealing));
    world.answers("ssh-0", |report| report.role = Role::Standby);
    let Step::Withdraw { state: again, .. } = world.decide() else { panic!("a withdrawal") };
    assert_eq!(again.master, Some(name("ssh-0")));
    // A switchover would only stop pushes again.
    world.write(again.opened(&name("ssh-0"), &disk("ssh-0")));
    let generation = world.observed.register.as_ref().unwrap().value.generation;
    let leads = |report: &mut InstanceReport| {
        (report.role, report.open, report.generation) = (Role::Master, true, generation);
    };
    world.answers("ssh-0", leads);
    world.observed.wish = Some(Wish { to: name("ssh-1"), drained: true });
    assert_eq!(world.decide(), Step::Wait(Trouble::Withdrawn));
    world.now += POLICY.min_interval;
    world.answers("ssh-0", leads);
    world.answers("ssh-1", |_| ());
    assert!(matches!(world.decide(), Step::Freeze { why: Reason::Asked, .. }));
}

/// The register after a promotion of that kind: `ssh-1` reigns, with `ssh-0` in its set.
fn succeeded(world: &mut World, why: Reason) {
    let begun = state(&["ssh-1"]).frozen().begun(why.to_string(), 1);
    let opened = begun.naming(&name("ssh-1")).opened(&name("ssh-1"), &disk("ssh-1"));
    world.write(opened.with_set(&[(name("ssh-0"), disk("ssh-0"))].into()));
    world.observed.ended.clear();
    let generation = world.observed.register.as_ref().unwrap().value.generation;
    world.answers("ssh-1", |report| (report.role, report.open, report.generation) = (Role::Master, true, generation));
    assert_eq!(world.decide(), Step::Nothing);
}

#[test]
fn what_has_ended_is_replaced_at_once_however_often() {
    for why in [Reason::Silent, Reason::Ended, Reason::Asked] {
        let mut world = World::new(&["ssh-1"]);
        succeeded(&mut world, why);
        world.answers("ssh-0", |_| ());
        world.observed.ended.insert(name("ssh-1"));
        assert!(matches!(world.decide(), Step::Freeze { why: Reason::Ended, .. }), "{why}");
        world.observed.ended.clear();
        world.answers("ssh-1", |report| report.disk = Some(disk("another")));
        assert!(matches!(world.decide(), Step::Freeze { why: Reason::Emptied, .. }), "{why}");
    }
}

#[test]
fn silence_after_a_promotion_for_silence_is_believed_later() {
    let silent = |why, after: f64| {
        let mut world = World::new(&["ssh-1"]);
        succeeded(&mut world, why);
        world.now += seconds(after);
        world.answers("ssh-0", |_| ());
        world.decide()
    };
    for why in [Reason::Ended, Reason::Emptied, Reason::Asked] {
        assert_eq!(silent(why, 2.9), Step::Nothing, "{why}");
        assert!(matches!(silent(why, 3.0), Step::Freeze { why: Reason::Silent, .. }), "{why}");
    }
    assert_eq!(silent(Reason::Silent, 2.9), Step::Nothing);
    assert_eq!(silent(Reason::Silent, 3.0), Step::Wait(Trouble::TooSoon(seconds(6.0))));
    assert_eq!(silent(Reason::Silent, 5.9), Step::Wait(Trouble::TooSoon(seconds(6.0))));
    assert!(matches!(silent(Reason::Silent, 6.0), Step::Freeze { why: Reason::Silent, .. }));
    assert!(Trouble::TooSoon(seconds(6.0)).to_string().ends_with("it is waited for 6 s"));
}

/// `ssh-0` leads and says that pushes fail on it, `ssh-1` says `standby`.
fn unable(world: &mut World, standby: Option<&str>) -> Step {
    let generation = world.observed.register.as_ref().unwrap().value.generation;
    world.answers("ssh-0", |report| {
        (report.role, report.open, report.generation) = (Role::Master, true, generation);
        report.unable = Some("no temporary file can be made".into());
    });
    world.answers("ssh-1", |report| report.unable = standby.map(str::to_owned));
    world.decide()
}

#[test]
fn a_master_on_which_pushes_fail_is_succeeded_by_a_standby_that_could_take_them() {
    let mut world = World::new(&["ssh-1"]);
    assert_eq!(
        unable(&mut world, Some("nor here")),
        Step::Wait(Trouble::NobodyAble),
        "no change of place for nothing"
    );
    world.observed.wish = Some(Wish { to: name("ssh-1"), drained: false });
    assert_eq!(
        unable(&mut world, Some("nor here")),
        Step::Drain(name("ssh-0")),
        "a person's wish is one's own affair"
    );
    world.observed.wish = None;
    assert!(matches!(unable(&mut world, None), Step::Freeze { why: Reason::Unable, .. }));
    let off = Policy { enabled: false, ..POLICY };
    let step = decide(world.now, &world.observed, &off, &mut world.memory);
    assert_eq!(step, Step::Wait(Trouble::Disabled));
    // Out of the set is not good enough.
    world.write(state(&[]));
    assert_eq!(unable(&mut world, None), Step::Wait(Trouble::NobodyAble));
}

#[test]
fn masters_that_turn_out_unable_one_after_the_other_are_replaced_ever_later() {
    let mut world = World::new(&["ssh-1"]);
    let again = state(&["ssh-1"]).frozen().begun(Reason::Unable.to_string(), 1);
    let opened = again.withdrawn(&name("ssh-0")).opened(&name("ssh-0"), &disk("ssh-0"));
    world.write(opened.begun(Reason::Unable.to_string(), 1));
    let patience = POLICY.detection * 2;
    assert_eq!(unable(&mut world, None), Step::Wait(Trouble::TooSoon(patience)));
    world.now += patience;
    assert!(matches!(unable(&mut world, None), Step::Freeze { why: Reason::Unable, .. }));
}

#[test]
fn of_the_sealed_one_that_could_take_pushes_is_named_before_one_that_holds_more() {
    let mut world = World::new(&["ssh-1", "ssh-2"]);
    world.write(state(&["ssh-1", "ssh-2"]).frozen());
    world.answers("ssh-1", |report| {
        (report.sealed, report.replication.offset) = (Generation(8), Offset(11));
        report.unable = Some("no".into());
    });
    world.answers("ssh-2", |report| report.sealed = Generation(8));
    let Step::Name { state: named, .. } = world.decide() else { panic!("a name") };
    assert_eq!(named.master, Some(name("ssh-2")));
}

#[test]
fn a_switchover_drains_first_and_names_the_one_that_was_asked_for() {
    let mut world = World::new(&["ssh-1", "ssh-2"]);
    let wish = |to: &str, drained| Some(Wish { to: name(to), drained });
    world.observed.wish = wish("ssh-9", false);
    assert_eq!(world.decide(), Step::Wait(Trouble::NotInSync(name("ssh-9"))));
    world.observed.wish = wish("ssh-0", false);
    assert_eq!(world.decide(), Step::Nothing, "it is master already");
    world.observed.wish = wish("ssh-1", false);
    assert_eq!(world.decide(), Step::Drain(name("ssh-0")));
    world.observed.wish = wish("ssh-1", true);
    let Step::Freeze { state: frozen, why: Reason::Asked, .. } = world.decide() else { panic!("a freeze") };
    world.write(frozen);
    for other in ["ssh-1", "ssh-2"] {
        world.answers(other, |report| report.sealed = Generation(8));
    }
    for (wished, expected) in [(Some("ssh-1"), "ssh-1"), (Some("ssh-2"), "ssh-2"), (None, "ssh-1")] {
        world.observed.wish = wished.and_then(|to| wish(to, true));
        let Step::Name { state: named, .. } = world.decide() else { panic!("a name") };
        assert_eq!(named.master, Some(name(expected)), "{wished:?}");
    }
}

#[test]
fn an_installation_that_has_never_begun_is_waited_for() {
    let mut world = World::new(&["ssh-1"]);
    world.write(State { disks: BTreeMap::new(), ..state(&["ssh-1"]) });
    world.observed.answers.clear();
    world.now += seconds(3600.0);
    assert_eq!(world.decide(), Step::Nothing);
}
