use std::collections::BTreeMap;

use protocol::status::Role;
use protocol::{DiskId, Generation};
use register::{State, Version, Versioned};

use super::super::{Observed, Wish, decide};
use super::*;
use crate::{InstanceReport, LogEnd};

const LEASE: Duration = Duration::from_secs(15);
const POLICY: Policy = Policy {
    enabled: true,
    detection: Duration::from_secs(3),
    min_interval: Duration::from_secs(60),
    shared: Some(LEASE),
};

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn volume() -> DiskId {
    "volume".parse().unwrap()
}

/// Generation 7 of `ssh-0`, which answers as master; `ssh-1` waits.
struct World {
    now: Duration,
    observed: Observed,
    memory: Memory,
    policy: Policy,
}

impl World {
    fn new() -> World {
        let opened = State { generation: Generation(6), master: Some(name("ssh-0")), ..State::default() };
        let value = opened.opened(&name("ssh-0"), &volume());
        let register = Some(Versioned { version: Version::File(1), value });
        let observed = Observed { register, ..Observed::default() };
        let mut world = World { now: Duration::from_secs(100), observed, memory: Memory::default(), policy: POLICY };
        world.leads("ssh-0", 7);
        world.waits("ssh-1");
        assert_eq!(world.decide(), Step::Nothing);
        world
    }

    fn answers(&mut self, who: &str, change: impl FnOnce(&mut InstanceReport)) {
        let mut report = InstanceReport {
            name: name(who),
            disk: None,
            role: Role::Standby,
            generation: Generation(0),
            sealed: Generation(0),
            replication: LogEnd::default(),
            publication: LogEnd::default(),
            heard: None,
            open: false,
            released: false,
            unable: None,
        };
        change(&mut report);
        self.observed.answers.insert(name(who), (self.now, report));
    }

    /// Waits: it has opened nothing of the volume.
    fn waits(&mut self, who: &str) {
        self.answers(who, |report| report.released = true);
    }

    fn leads(&mut self, who: &str, generation: u64) {
        self.answers(who, |report| {
            (report.role, report.open, report.generation) = (Role::Master, true, Generation(generation));
        });
    }

    fn decide(&mut self) -> Step {
        decide(self.now, &self.observed, &self.policy, &mut self.memory)
    }

    /// Time goes by; `ssh-1` is there.
    fn passes(&mut self, seconds: u64) -> Step {
        self.now += Duration::from_secs(seconds);
        self.waits("ssh-1");
        self.decide()
    }

    /// The register takes a write; the same state is a renewal.
    fn write(&mut self, state: State) {
        let register = self.observed.register.as_mut().unwrap();
        let Version::File(version) = register.version else { unreachable!("a file") };
        *register = Versioned { version: Version::File(version + 1), value: state };
    }

    fn state(&self) -> State {
        self.observed.register.as_ref().unwrap().value.clone()
    }

    fn freezes(&mut self, why: Reason) {
        let Step::Freeze { state, why: said, .. } = self.decide() else { panic!("a freeze: {:?}", self.decide()) };
        assert_eq!((said, state.generation, &state.master), (why, self.state().generation.next(), &None));
        self.write(state);
    }

    fn names(&mut self, who: &str, why: Proof) {
        let Step::Name { state, proof, .. } = self.decide() else { panic!("a name: {:?}", self.decide()) };
        assert_eq!((proof, &state.master), (why, &Some(name(who))));
        assert_eq!(state.disks, BTreeMap::from([(name(who), volume())]), "the volume stays the one that is meant");
        assert!(state.in_sync.is_empty());
        self.write(state);
    }
}

#[test]
fn silence_proves_nothing_however_long_it_lasts() {
    let mut world = World::new();
    assert_eq!(world.passes(2), Step::Nothing);
    // It renews its lease: only the way from us to it is cut.
    world.write(world.state());
    assert_eq!(world.passes(2), Step::Wait(Trouble::Partition));
    for _ in 0..1000 {
        world.passes(60);
    }
    assert_eq!(world.decide(), Step::Wait(Trouble::Unproven(name("ssh-0"))));
    assert!(Trouble::Unproven(name("ssh-0")).to_string().contains("kubectl hg fence"));
    // It thaws.
    world.leads("ssh-0", 7);
    assert_eq!(world.decide(), Step::Nothing);
}

#[test]
fn an_ended_process_is_replaced_at_once_and_nobody_is_sealed() {
    let mut world = World::new();
    world.observed.ended.insert(name("ssh-0"));
    world.freezes(Reason::Ended);
    // It is started again; that it had ended stays true.
    world.observed.ended.clear();
    world.names("ssh-1", Proof::Ended(name("ssh-0")));
    let mut world = World::new();
    world.observed.ended.insert(name("ssh-0"));
    world.policy.enabled = false;
    assert_eq!(world.decide(), Step::Wait(Trouble::Disabled));
    world.policy.enabled = true;
    world.observed.answers.remove(&name("ssh-1"));
    assert_eq!(world.decide(), Step::Wait(Trouble::NobodyAnswers));
}

#[test]
fn whoever_takes_over_a_frozen_register_needs_a_proof_of_its_own() {
    let mut world = World::new();
    world.observed.ended.insert(name("ssh-0"));
    world.freezes(Reason::Ended);
    (world.memory, world.observed.ended) = (Memory::default(), Default::default());
    // What was said before it was frozen is too old: a reign may have begun since.
    world.waits("ssh-0");
    world.now += Duration::from_millis(500);
    world.waits("ssh-1");
    assert_eq!(world.decide(), Step::Nothing);
    assert_eq!(world.passes(HOPELESS.as_secs()), Step::Wait(Trouble::Unproven(name("ssh-0"))));
    world.waits("ssh-0");
    world.names("ssh-1", Proof::Released(name("ssh-0")));
}

#[test]
fn a_pod_that_is_gone_proves_nothing_until_its_lease_has_run_out() {
    let mut world = World::new();
    world.observed.gone = Some(name("ssh-0"));
    world.write(world.state());
    assert_eq!(world.passes(1), Step::Wait(Trouble::LeaseRuns(name("ssh-0"))));
    // Its node is only cut off from us.
    world.write(world.state());
    assert_eq!(world.passes(LEASE.as_secs() - 1), Step::Wait(Trouble::LeaseRuns(name("ssh-0"))));
    world.passes(LEASE.as_secs());
    world.freezes(Reason::Gone);
    let frozen = world.observed.register.clone();
    world.names("ssh-1", Proof::Gone(name("ssh-0")));
    // Another operator goes on.
    (world.memory, world.observed.register) = (Memory::default(), frozen);
    assert_eq!(world.passes(1), Step::Nothing);
    world.passes(LEASE.as_secs());
    world.names("ssh-1", Proof::Gone(name("ssh-0")));
    // Another pod of that name waits, too, and has not opened.
    let mut world = World::new();
    world.observed.gone = Some(name("ssh-0"));
    world.answers("ssh-0", |_| ());
    assert_eq!(world.decide(), Step::Nothing);
    world.now += OPENING;
    world.waits("ssh-1");
    world.answers("ssh-0", |_| ());
    world.freezes(Reason::Gone);
    world.names("ssh-1", Proof::Gone(name("ssh-0")));
}

#[test]
fn of_three_the_one_that_was_asked_for_opens_or_the_first() {
    let mut world = World::new();
    world.waits("ssh-2");
    world.observed.ended.insert(name("ssh-0"));
    world.freezes(Reason::Ended);
    for (wished, expected) in [(None, "ssh-1"), (Some("ssh-2"), "ssh-2")] {
        world.observed.wish = wished.map(|to| Wish { to: name(to), drained: true });
        let Step::Name { state, .. } = world.decide() else { panic!("a name") };
        assert_eq!(state.master, Some(name(expected)));
    }
}

#[test]
fn one_who_reaches_nobody_advises_nobody_to_fence() {
    let mut world = World::new();
    world.now += LEASE - Duration::from_secs(1);
    assert_eq!(world.decide(), Step::Wait(Trouble::Partition), "its lease may be renewed");
    world.now += Duration::from_secs(1);
    assert_eq!(world.decide(), Step::Wait(Trouble::Blind));
}

#[test]
fn a_persons_word_counts_for_one_generation_and_after_the_lease_has_run_out() {
    let mut world = World::new();
    world.observed.fenced = Some(Generation(6));
    assert_eq!(world.passes(60), Step::Wait(Trouble::Unproven(name("ssh-0"))), "another generation's");
    world.observed.fenced = Some(Generation(7));
    world.write(world.state());
    assert_eq!(world.decide(), Step::Wait(Trouble::LeaseRuns(name("ssh-0"))));
    assert_eq!(world.passes(LEASE.as_secs() - 1), Step::Wait(Trouble::LeaseRuns(name("ssh-0"))));
    // It is a person's decision, whatever is decided without one.
    world.policy.enabled = false;
    world.passes(1);
    world.freezes(Reason::Fenced);
    // Another operator goes on: it has seen no renewal for as long.
    world.memory = Memory::default();
    assert_eq!(world.passes(1), Step::Nothing);
    world.passes(LEASE.as_secs());
    world.names("ssh-1", Proof::Word(name("ssh-0")));
    let mut world = World::new();
    world.observed.fenced = Some(Generation(7));
    assert_eq!(world.decide(), Step::Nothing, "nobody is fenced who answers as master");
}

#[test]
fn a_switchover_waits_until_the_old_master_has_let_go() {
    let mut world = World::new();
    let wish = |to: &str, drained| Some(Wish { to: name(to), drained });
    world.observed.wish = wish("ssh-2", false);
    assert_eq!(world.decide(), Step::Wait(Trouble::NotInSync(name("ssh-2"))));
    world.observed.wish = wish("ssh-1", false);
    assert_eq!(world.decide(), Step::Drain(name("ssh-0")));
    world.observed.wish = wish("ssh-1", true);
    world.freezes(Reason::Asked);
    world.answers("ssh-0", |_| ());
    assert_eq!(world.decide(), Step::Nothing, "it has drained, and still writes checkpoints");
    world.waits("ssh-0");
    world.names("ssh-1", Proof::Released(name("ssh-0")));
}

#[test]
fn one_that_was_named_and_does_not_open_is_replaced_when_it_has_let_go() {
    let mut world = World::new();
    world.answers("ssh-0", |_| ());
    assert_eq!(world.passes(1), Step::Nothing);
    world.now += OPENING;
    world.waits("ssh-1");
    world.answers("ssh-0", |_| ());
    assert_eq!(world.decide(), Step::Wait(Trouble::Unproven(name("ssh-0"))));
    world.waits("ssh-0");
    world.freezes(Reason::NotOpened);
    world.names("ssh-1", Proof::Released(name("ssh-0")));
    // Where nobody else is there, the same one tries again.
    let mut world = World::new();
    world.observed.ended.insert(name("ssh-0"));
    world.freezes(Reason::Ended);
    world.observed.ended.clear();
    world.observed.answers.clear();
    world.waits("ssh-0");
    world.names("ssh-0", Proof::Ended(name("ssh-0")));
}

#[test]
fn a_second_promotion_follows_the_first_at_once() {
    let mut world = World::new();
    world.observed.ended.insert(name("ssh-0"));
    world.freezes(Reason::Ended);
    world.names("ssh-1", Proof::Ended(name("ssh-0")));
    world.observed.ended = [name("ssh-1")].into();
    world.waits("ssh-0");
    let Step::Freeze { .. } = world.decide() else { panic!("it never opened") };
    world.observed.ended.clear();
    world.write(world.state().opened(&name("ssh-1"), &volume()));
    world.leads("ssh-1", world.state().generation.0);
    assert_eq!(world.decide(), Step::Nothing);
    world.observed.ended = [name("ssh-1")].into();
    world.waits("ssh-0");
    assert!(matches!(world.decide(), Step::Freeze { .. }));
}
