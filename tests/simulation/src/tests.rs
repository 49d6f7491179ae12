use crate::{Bug, run};

/// Seeds of the ordinary test run, in parts that can run beside each other; the soak takes more.
const SEEDS: u64 = 10_000;
const PARTS: u64 = 4;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn no_seed_breaks_a_promise(part: u64) {
    let (from, count) = (number("SIMULATION_FROM", 0), number("SIMULATION_SEEDS", SEEDS));
    let (mut acknowledged, mut promotions, mut left, mut steps) = (0, 0, 0, 0);
    let begun = std::time::Instant::now();
    for seed in (from..from + count).filter(|seed| seed % PARTS == part) {
        match run(seed, None) {
            Ok(statistics) => {
                acknowledged += statistics.acknowledged;
                promotions += statistics.promotions;
                left += statistics.left;
                steps += statistics.steps;
            }
            Err(violation) => panic!("{violation}"),
        }
    }
    println!(
        "{acknowledged} records acknowledged, {promotions} promotions, {left} mirrors left the active set, {steps} \
         steps in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(acknowledged > 0 && promotions > 0 && left > 0, "the faults must happen for this to mean anything");
}

#[test]
fn no_seed_of_the_first_part_breaks_a_promise() {
    no_seed_breaks_a_promise(0);
}

#[test]
fn no_seed_of_the_second_part_breaks_a_promise() {
    no_seed_breaks_a_promise(1);
}

#[test]
fn no_seed_of_the_third_part_breaks_a_promise() {
    no_seed_breaks_a_promise(2);
}

#[test]
fn no_seed_of_the_fourth_part_breaks_a_promise() {
    no_seed_breaks_a_promise(3);
}

fn is_found(bug: Bug, words: &[&str]) {
    let meant = |what: &str| words.iter().any(|words| what.contains(words));
    let found = (0..SEEDS).find_map(|seed| run(seed, Some(bug)).err().filter(|found| meant(&found.what)));
    let found = found.unwrap_or_else(|| panic!("{bug:?} is not found within {SEEDS} seeds"));
    println!("{bug:?} is found with seed {}: {}", found.seed, found.what);
}

const LOST: &[&str] = &["is not in the log", "committed twice", "is not committed"];

#[test]
fn acknowledging_before_fsync_is_found() {
    is_found(Bug::AcknowledgeBeforeFsync, LOST);
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
    is_found(Bug::ReuseOffset, LOST);
}

#[test]
fn skipping_the_seal_is_found() {
    is_found(Bug::SkipSeal, LOST);
}

#[test]
fn forgetting_the_seal_at_a_restart_is_found() {
    is_found(Bug::ForgetSealAtRestart, LOST);
}

#[test]
fn forgetting_a_write_whose_answer_was_lost_is_found() {
    is_found(Bug::ForgetUnansweredWrite, LOST);
}

#[test]
fn forgetting_what_the_reign_began_with_is_found() {
    is_found(Bug::ForgetWhatTheReignBeganWith, LOST);
}

#[test]
fn shrinking_the_set_after_the_commit_is_found() {
    is_found(Bug::ShrinkAfterCommit, LOST);
}

#[test]
fn committing_alone_after_a_promotion_is_found() {
    is_found(Bug::CommitAloneAfterPromotion, LOST);
}

#[test]
fn promoting_an_out_of_sync_standby_is_found() {
    is_found(Bug::PromoteOutOfSync, LOST);
}
