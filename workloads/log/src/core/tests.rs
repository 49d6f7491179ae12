//! The core alone, step by step. `world` puts several together under random faults.

mod world;

use super::*;

fn member(name: &str) -> DiskId {
    name.parse().unwrap()
}

fn members(names: &[&str]) -> BTreeSet<DiskId> {
    names.iter().map(|name| member(name)).collect()
}

fn entry(offset: u64, generation: u64) -> Entry {
    Entry { offset: Offset(offset), generation: Generation(generation), bytes: vec![1, 1, generation as u8] }
}

fn append(ticket: u64, generation: u64) -> Event {
    Event::Append { ticket: Ticket(ticket), generation: Generation(generation), records: vec![vec![1, 1]] }
}

/// A core with records of these generations.
fn holding(generations: &[u64]) -> Core {
    let mut found = Generations::empty(Offset(1), Generation(0));
    generations.iter().for_each(|g| found.push(Generation(*g)));
    Core::new(found)
}

/// Hands over the events, then carries out every command with success; answers what came back.
fn run(core: &mut Core, events: Vec<Event>) -> Vec<(u64, Result<u64, String>)> {
    events.into_iter().for_each(|event| core.handle(event));
    let mut answers = Vec::new();
    while let Some(command) = core.poll() {
        let event = match command {
            Command::Appended { ticket, outcome } => {
                answers.push((ticket.0, outcome.map(|o| o.0).map_err(|why| why.to_string())));
                continue;
            }
            Command::Answered { ticket, outcome } => {
                answers.push((ticket.0, outcome.map(|o| o.0).map_err(|why| why.to_string())));
                continue;
            }
            Command::Write { .. } => Event::Written(Ok(())),
            Command::Sync => Event::Synced,
            Command::Truncate { .. } | Command::Reset { .. } => Event::Cut,
            Command::Trim { below } => Event::Trimmed { start: below },
        };
        core.handle(event);
    }
    answers
}

fn lead(ticket: u64, generation: u64, in_sync: &[&str]) -> Event {
    Event::Lead { ticket: Ticket(ticket), generation: Generation(generation), in_sync: members(in_sync) }
}

fn acknowledged(generation: u64, name: &str, through: u64) -> Event {
    Event::Acknowledged { generation: Generation(generation), member: member(name), through: Offset(through) }
}

#[test]
fn what_waits_is_written_and_synced_together() {
    let mut core = holding(&[]);
    run(&mut core, vec![lead(0, 1, &[])]);
    core.handle(append(1, 1));
    assert!(matches!(core.poll(), Some(Command::Write { entries, .. }) if entries.len() == 1));
    (2..=65).for_each(|ticket| core.handle(append(ticket, 1)));
    assert_eq!(core.poll(), None, "one command at a time");
    core.handle(Event::Written(Ok(())));
    assert!(matches!(core.poll(), Some(Command::Appended { .. })));
    assert_eq!(core.poll(), Some(Command::Sync));
    core.handle(Event::Synced);
    let Some(Command::Write { entries, durable }) = core.poll() else { panic!("a write must follow") };
    assert_eq!((entries.len(), durable), (64, Offset(1)));
}

#[test]
fn committed_needs_the_disk_and_every_member() {
    let mut core = holding(&[1, 1]);
    run(&mut core, vec![lead(0, 2, &["b", "c"])]);
    assert_eq!(core.view().committed, Offset(0), "what it holds is not committed by itself");
    core.handle(append(1, 2));
    assert!(matches!(core.poll(), Some(Command::Write { .. })));
    core.handle(Event::Written(Ok(())));
    core.handle(acknowledged(2, "b", 3));
    core.handle(acknowledged(2, "c", 3));
    assert_eq!(core.view().committed, Offset(2), "not on disk here yet");
    run(&mut core, vec![]);
    assert!(matches!(core.running, None | Some(Running::Sync)));
    core.handle(Event::Synced);
    assert_eq!(core.view().committed, Offset(3));
    run(&mut core, vec![append(2, 2), acknowledged(2, "b", 4), acknowledged(1, "c", 4), acknowledged(2, "d", 9)]);
    assert_eq!(core.view().committed, Offset(3), "an older reign's word does not count");
    run(&mut core, vec![Event::InSync { ticket: Ticket(3), generation: Generation(2), in_sync: members(&["b"]) }]);
    run(&mut core, vec![acknowledged(2, "b", 4)]);
    assert_eq!(core.view().committed, Offset(4));
}

#[test]
fn only_the_expected_generation_appends() {
    let mut core = holding(&[3]);
    let old = run(&mut core, vec![append(1, 3), lead(2, 3, &[]), lead(3, 5, &[]), append(4, 3), append(5, 5)]);
    assert!(old[0].1.is_err() && old[1].1.is_err() && old[3].1.is_err(), "{old:?}");
    assert_eq!((old[2].clone(), old[4].clone()), ((3, Ok(1)), (5, Ok(2))));
    let after = run(&mut core, vec![append(6, 5), Event::Follow, append(7, 5), lead(8, 5, &[])]);
    assert!(after.iter().all(|answer| answer.1.is_err()), "{after:?}");
    assert_eq!(core.view().generations.end(), Offset(2));
}

#[test]
fn a_refused_write_leaves_nothing_and_the_next_one_takes_its_place() {
    let mut core = holding(&[]);
    run(&mut core, vec![lead(0, 1, &[])]);
    core.handle(append(1, 1));
    core.handle(append(2, 1));
    assert!(matches!(core.poll(), Some(Command::Write { entries, .. }) if entries.len() == 2));
    core.handle(Event::Written(Err(WriteFailure::Full("none left".into()))));
    for ticket in 1..=2 {
        let outcome = Err(AppendError::Write(WriteFailure::Full("none left".into())));
        assert_eq!(core.poll(), Some(Command::Appended { ticket: Ticket(ticket), outcome }));
    }
    assert_eq!(core.poll(), None);
    assert_eq!(core.view().refused, Some(WriteFailure::Full("none left".into())));
    assert_eq!(run(&mut core, vec![append(3, 1)]), [(3, Ok(1))]);
    assert_eq!(core.view().refused, None);
}

#[test]
fn a_failed_sync_ends_everything() {
    let mut core = holding(&[]);
    run(&mut core, vec![lead(0, 1, &[])]);
    core.handle(append(1, 1));
    core.poll();
    core.handle(Event::Written(Ok(())));
    core.handle(append(2, 1));
    assert!(matches!(core.poll(), Some(Command::Appended { .. })));
    assert_eq!(core.poll(), Some(Command::Sync));
    core.handle(Event::Failed { why: "EIO".into() });
    let answers = run(&mut core, vec![append(3, 1), Event::Sync { ticket: Ticket(4) }, lead(5, 9, &[])]);
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.1.as_ref().is_err_and(|why| why.contains("EIO"))), "{answers:?}");
    let view = core.view();
    assert_eq!((view.durable, view.committed, view.leading), (Offset(0), Offset(0), None));
}

#[test]
fn a_follower_stores_without_gaps_and_never_back() {
    let mut core = holding(&[1, 2]);
    let store = |ticket, entries: Vec<Entry>| Event::Store { ticket: Ticket(ticket), entries };
    let mut answers = run(
        &mut core,
        vec![
            store(1, vec![entry(4, 2)]),
            store(2, vec![entry(3, 1)]),
            store(3, vec![entry(2, 1)]),
            store(4, vec![entry(2, 2), entry(3, 2), entry(4, 4)]),
            store(5, vec![entry(4, 4)]),
            store(6, vec![entry(5, 4), entry(7, 4)]),
        ],
    );
    answers.sort_by_key(|answer| answer.0);
    let good: Vec<_> = answers.iter().map(|answer| answer.1.clone().ok()).collect();
    assert_eq!(good, [None, None, None, Some(4), Some(4), None], "{answers:?}");
    assert_eq!(core.view().durable, Offset(2), "a follower asks for the disk itself");
    assert_eq!(run(&mut core, vec![Event::Sync { ticket: Ticket(7) }]), [(7, Ok(4))]);
}

#[test]
fn committed_records_are_dropped_only_on_purpose() {
    let mut core = holding(&[1, 1, 1, 1]);
    run(&mut core, vec![Event::Announced { through: Offset(2) }]);
    let cut = |ticket, from, cut| Event::Truncate { ticket: Ticket(ticket), from: Offset(from), cut };
    assert!(run(&mut core, vec![cut(1, 2, Cut::Uncommitted)])[0].1.is_err());
    assert_eq!(run(&mut core, vec![cut(2, 3, Cut::Uncommitted)]), [(2, Ok(2))]);
    assert_eq!((core.view().truncations, core.view().discards), (1, 0));
    assert_eq!(run(&mut core, vec![cut(3, 2, Cut::AlsoCommitted)]), [(3, Ok(1))]);
    assert_eq!((core.view().discards, core.view().committed), (1, Offset(1)));
    run(&mut core, vec![lead(4, 2, &[])]);
    assert!(run(&mut core, vec![cut(5, 1, Cut::AlsoCommitted)])[0].1.is_err(), "not while leading");
}

#[test]
fn trimming_stops_at_what_is_committed() {
    let mut core = holding(&[1, 1, 2, 2]);
    run(&mut core, vec![Event::Announced { through: Offset(2) }]);
    assert_eq!(run(&mut core, vec![Event::Trim { ticket: Ticket(1), below: Offset(5) }]), [(1, Ok(3))]);
    let reset = Event::Reset { ticket: Ticket(2), start: Offset(100), before: Generation(7) };
    assert_eq!(run(&mut core, vec![reset]), [(2, Ok(99))]);
    let view = core.view();
    assert_eq!(
        (view.generations.start(), view.generations.last(), view.durable),
        (Offset(100), Generation(7), Offset(99))
    );
}
