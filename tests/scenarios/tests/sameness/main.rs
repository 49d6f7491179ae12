//! Plain Mercurial as the judge: seeded random sequences of client operations, carried out on the same history against
//! an installation and against `hg serve --stdio` and hgweb. After each step exit code, messages, the clients' state
//! and the servers' discovery answers are equal, but for what docs/differences.md lists.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod plain;
mod sequences;

use scenarios::{Soak, for_good, mercurials};
use sequences::{Sequence, Sequences};

/// Sequences of one installation.
const SEQUENCES: u64 = 20;
const STEPS: u64 = 20;

#[test]
fn clients_cannot_tell_it_from_plain_mercurial() {
    let soak = Soak::new(1);
    let mut seed = soak.seed();
    loop {
        let seeds = seed..seed + soak.number("HGD_SAMENESS_SEQUENCES", SEQUENCES);
        let ran = one_round(seeds.clone(), soak.number("HGD_SAMENESS_STEPS", STEPS));
        let found: Vec<&Sequence> = ran.iter().filter(|sequence| !sequence.differs.is_empty()).collect();
        let steps: i64 = ran.iter().map(|sequence| sequence.step).sum();
        println!("seeds {seeds:?}: {} sequences of {steps} steps, {} differ", ran.len(), found.len());
        let told: String = found.iter().map(ToString::to_string).collect();
        for_good(found.is_empty(), told);
        seed = seeds.end;
        if soak.is_over() {
            break;
        }
    }
}

/// Runs one round. Which Mercurials a sequence is about follows from its seed: servers and clients in turn.
fn one_round(seeds: std::ops::Range<u64>, steps: u64) -> Vec<Sequence> {
    let all = mercurials();
    let count = u64::try_from(all.len()).unwrap();
    let mut ran = Vec::new();
    for (number, server) in (0..).zip(&all) {
        let of_client =
            |client| seeds.clone().filter(|seed| seed % count == number && seed / count % count == client).collect();
        let of_clients: Vec<Vec<u64>> = (0..count).map(of_client).collect();
        if of_clients.iter().all(Vec::is_empty) {
            continue;
        }
        let sequences = Sequences::start(server, &of_clients.concat());
        std::thread::scope(|scope| {
            let sequences = &sequences;
            let clients = all.iter().zip(&of_clients);
            let running: Vec<_> =
                clients.map(|(client, seeds)| scope.spawn(move || sequences.run(client, seeds, steps))).collect();
            ran.extend(running.into_iter().flat_map(|running| running.join().unwrap()));
        });
    }
    ran
}
