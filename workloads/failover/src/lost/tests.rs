use protocol::status::Role;
use protocol::{DiskId, Offset};

use super::*;

const NOW: Duration = Duration::from_secs(100);

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn disk(of: &str) -> DiskId {
    format!("disk-of-{of}").parse().unwrap()
}

struct Installation {
    instances: BTreeSet<InstanceName>,
    answers: BTreeMap<InstanceName, (Duration, InstanceReport)>,
}

impl Installation {
    fn of(instances: &[&str]) -> Installation {
        let instances = instances.iter().copied().map(name).collect();
        Installation { instances, answers: BTreeMap::new() }
    }

    /// Holds so much of both logs.
    fn holds(mut self, who: &str, generation: u64, offset: u64) -> Installation {
        let end = LogEnd { generation: Generation(generation), offset: Offset(offset) };
        let report = InstanceReport {
            name: name(who),
            disk: Some(disk(who)),
            role: Role::Standby,
            generation: Generation(0),
            sealed: Generation(0),
            replication: end,
            publication: end,
            heard: None,
            open: false,
            released: false,
            unable: None,
        };
        self.answers.insert(name(who), (NOW, report));
        self
    }

    fn but(mut self, who: &str, change: impl FnOnce(&mut Duration, &mut InstanceReport)) -> Installation {
        let (at, report) = self.answers.get_mut(&name(who)).unwrap();
        change(at, report);
        self
    }

    fn lost(&self) -> Lost<'_> {
        let Installation { instances, answers } = self;
        Lost { instances, answers, told: Generation(0), shared: false, word: false }
    }

    fn remade(&self) -> Result<State, Missing> {
        remake(NOW, &self.lost())
    }

    fn by_word(&self) -> Result<State, Missing> {
        remake(NOW, &Lost { word: true, ..self.lost() })
    }
}

/// A master that nobody is in sync with.
fn names(master: &str, generation: u64) -> Result<State, Missing> {
    let disks = [(name(master), disk(master))].into();
    Ok(State { generation: Generation(generation), master: Some(name(master)), disks, ..State::default() })
}

#[test]
fn who_holds_most_is_master_of_a_generation_that_nobody_has_had() {
    let pair = || Installation::of(&["a", "b"]);
    assert_eq!(pair().holds("a", 7, 10).holds("b", 7, 11).remade(), names("b", 8));
    assert_eq!(pair().holds("a", 7, 10).holds("b", 6, 50).remade(), names("a", 8), "a later generation is ahead");
    assert_eq!(pair().holds("a", 7, 10).holds("b", 7, 10).remade(), names("a", 8));
    let leads = |_: &mut Duration, report: &mut InstanceReport| report.open = true;
    assert_eq!(pair().holds("a", 7, 10).holds("b", 7, 10).but("b", leads).remade(), names("b", 8));
    let told = |report: &mut InstanceReport| report.publication.offset = Offset(12);
    let further = pair().holds("a", 7, 10).holds("b", 7, 10).but("b", |_, report| told(report));
    assert_eq!(further.remade(), names("b", 8), "also the log of what mirrors show");
    let sealed = pair().holds("a", 7, 10).holds("b", 7, 9).but("b", |_, report| report.sealed = Generation(9));
    assert_eq!(sealed.remade(), names("a", 10));
    let follows = pair().holds("a", 7, 10).holds("b", 7, 9).but("b", |_, report| report.generation = Generation(12));
    assert_eq!(follows.remade(), names("a", 13));
    let both = pair().holds("a", 7, 10).holds("b", 7, 10);
    assert_eq!(remake(NOW, &Lost { told: Generation(20), ..both.lost() }), names("a", 21));
    assert_eq!(Installation::of(&["a"]).holds("a", 7, 10).remade(), names("a", 8));
    assert_eq!(pair().holds("a", 0, 0).holds("b", 0, 0).remade(), names("a", 1), "nobody has ever pushed");
}

#[test]
fn without_a_word_all_must_answer_from_the_volumes_that_they_had() {
    let three = || Installation::of(&["a", "b", "c"]).holds("a", 7, 10);
    let silent = |names: &[&str]| Err(Missing::Silent(names.iter().copied().map(name).collect()));
    assert_eq!(three().remade(), silent(&["b", "c"]));
    let late = three().holds("b", 7, 10).holds("c", 7, 10).but("c", |at, _| *at = NOW - Duration::from_secs(1));
    assert_eq!(late.remade(), silent(&["c"]), "what it said is old");
    let unopened = three().holds("b", 7, 10).holds("c", 7, 10).but("c", |_, report| report.disk = None);
    assert_eq!(unopened.remade(), silent(&["c"]));
    let emptied = three().holds("b", 7, 10).holds("c", 0, 0);
    assert_eq!(emptied.remade(), Err(Missing::Empty(name("c"))));
}

#[test]
fn by_a_word_whoever_answers_is_enough_and_many_generations_are_passed_over() {
    let three = Installation::of(&["a", "b", "c"]);
    assert_eq!(three.by_word(), Err(Missing::Silent(three.instances.clone())));
    assert_eq!(three.holds("b", 7, 10).by_word(), names("b", 7 + UNHEARD));
    let emptied = Installation::of(&["a", "b"]).holds("a", 0, 0).holds("b", 7, 10);
    assert_eq!(emptied.by_word(), names("b", 7 + UNHEARD));
}

#[test]
fn a_volume_that_all_have_says_nothing_of_who_writes_to_it() {
    let waits = |_: &mut Duration, report: &mut InstanceReport| report.disk = None;
    let pair = Installation::of(&["a", "b"]).holds("a", 0, 0).but("a", waits).holds("b", 0, 0).but("b", waits);
    let shared = Lost { shared: true, told: Generation(7), ..pair.lost() };
    assert_eq!(remake(NOW, &shared), Err(Missing::Shared));
    let made = remake(NOW, &Lost { word: true, ..shared }).unwrap();
    assert_eq!((made.master, made.generation), (Some(name("a")), Generation(7 + UNHEARD)));
    assert!(made.disks.is_empty(), "whoever opens it finds out which it is");
}
