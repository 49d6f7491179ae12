//! Checks that what a reader learned from one mirror by hash, every other can serve, and no mirror's own view goes
//! back (docs/protocols.md; design, section 6): a checker that switches the mirror on every request while all kinds of
//! pushes go on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checker;
mod sequence;
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use checker::Checker;
use scenarios::{Client, Installation, Kinds, Options, Pusher, for_good, mercurials, wait_longer_for};
use sequence::Sequence;

/// How many requests there are; more with this environment variable, for a longer run.
const REQUESTS: usize = 20_000;
const REQUESTS_VARIABLE: &str = "HGD_CHECKER_REQUESTS";
const READERS: u64 = 4;
/// Requests for each push of a repository, so that there are hundreds of pushes, whatever the machine's speed.
const REQUESTS_PER_PUSH: usize = 160;
/// The slowest machine answers a request this fast on average.
const SLOWEST_REQUEST: Duration = Duration::from_millis(20);

#[test]
fn a_reader_who_switches_mirrors_meets_no_contradiction() {
    let wanted = std::env::var(REQUESTS_VARIABLE).map_or(REQUESTS, |text| text.parse().expect("a number"));
    let mercurial = mercurials().pop().unwrap();
    let paths = ["draft/drafts", "published"];
    // Bundles come as they are, so that hashes can be found in them.
    let hgrc = "[server]\ncompressionengines = none, zlib\n".to_owned();
    let installation = Installation::start(Options { hgrc, ..Options::new(&mercurial, &paths) });
    let mirrors = &installation.ready().mirrors;
    let sequences = paths.map(|path| Sequence::new(path, mirrors.len()));
    let (asked, begun) = (AtomicUsize::new(0), Instant::now());
    let checkers: Vec<Checker<'_>> = std::thread::scope(|scope| {
        for (seed, sequence) in (1..).zip(&sequences) {
            let (client, asked, mercurial) = (Client::new(&installation, &mercurial, "pusher"), &asked, &mercurial);
            scope.spawn(move || {
                let kinds = if sequence.path().starts_with("draft") { Kinds::Everything } else { Kinds::Published };
                let folder = format!("copy-{seed}");
                let pusher = Pusher::start(&client, mercurial, sequence.path(), &folder, seed, kinds);
                push(pusher, sequence, asked, wanted);
            });
        }
        let read = |number| {
            let (sequences, asked) = (&sequences, &asked);
            scope.spawn(move || {
                let mut checker = Checker::new(mirrors, sequences, number);
                while asked.fetch_add(1, Ordering::AcqRel) < wanted {
                    checker.ask();
                }
                checker
            })
        };
        let readers: Vec<_> = (0..READERS).map(read).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let pushes: usize = sequences.iter().map(Sequence::pushes).sum();
    let hashes: usize = sequences.iter().map(Sequence::seen).sum();
    let count = |of: fn(&Checker<'_>) -> usize| checkers.iter().map(of).sum::<usize>();
    let by_hash = count(|checker| checker.by_hash);
    println!("{wanted} requests ({by_hash} by hash) during {pushes} pushes in {seconds:.1} s; {hashes} hashes seen");
    let found: Vec<&String> = checkers.iter().flat_map(|checker| &checker.found).collect();
    let first = &found[..found.len().min(10)];
    for_good(found.is_empty(), format_args!("{} contradictions, the first: {first:#?}", found.len()));
    assert!(by_hash > wanted / 3 && hashes > pushes / 2, "the checker looked at too little");
    installation.settled();
    for sequence in &sequences {
        Checker::new(mirrors, &sequences, READERS).shows_the_last(sequence);
    }
}

fn push(mut pusher: Pusher, sequence: &Sequence, asked: &AtomicUsize, wanted: usize) {
    let patience = SLOWEST_REQUEST * u32::try_from(REQUESTS_PER_PUSH).unwrap() * 10;
    for number in 0..wanted / REQUESTS_PER_PUSH {
        wait_longer_for(patience, "requests between two pushes", || match asked.load(Ordering::Acquire) {
            now if now >= number * REQUESTS_PER_PUSH => Ok(()),
            now => Err(format!("{now} requests")),
        });
        // Mirrors may show it before the push returns.
        sequence.append(pusher.prepare());
        pusher.push();
    }
}
