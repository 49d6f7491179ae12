use crate::{Bug, run};

/// Seeds of the ordinary test run; the soak takes more.
const SEEDS: u64 = 2_000;

fn seeds() -> std::ops::Range<u64> {
    let from = std::env::var("SIMULATION_FROM").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let count = std::env::var("SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    from..from + count
}

#[test]
fn no_seed_breaks_a_promise() {
    let (mut acknowledged, mut promotions, mut left) = (0, 0, 0);
    for seed in seeds() {
        match run(seed, None) {
            Ok(statistics) => {
                acknowledged += statistics.acknowledged;
                promotions += statistics.promotions;
                left += statistics.left;
            }
            Err(violation) => panic!("{violation}"),
        }
    }
    println!("{acknowledged} records acknowledged, {promotions} promotions, {left} mirrors left the active set");
    assert!(acknowledged > 0 && promotions > 0 && left > 0, "the faults must happen for this to mean anything");
}

fn is_found(bug: Bug, words: &[&str]) {
    let found = (0..SEEDS).find_map(|seed| run(seed, Some(bug)).err());
    let found = found.unwrap_or_else(|| panic!("{bug:?} is not found within {SEEDS} seeds"));
    assert!(words.iter().any(|words| found.what.contains(words)), "{bug:?} shows as: {found}");
}

#[test]
fn acknowledging_before_fsync_is_found() {
    is_found(Bug::AcknowledgeBeforeFsync, &["is not in the log", "committed twice"]);
}

#[test]
fn publishing_before_the_last_mirror_is_found() {
    is_found(Bug::PublishBeforeLastMirror, &["is released", "is published", "has applied only"]);
}

#[test]
fn applying_out_of_order_is_found() {
    is_found(Bug::ApplyOutOfOrder, &["one order"]);
}

#[test]
fn reusing_an_offset_is_found() {
    is_found(Bug::ReuseOffset, &["is not in the log", "committed twice"]);
}
