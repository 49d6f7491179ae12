//! `hg-operator`: keeps what the three resources ask for, and says what is so.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod apply;
mod election;
mod events;
mod metrics;
mod names;
mod objects;
mod problem;
mod queue;
mod world;

fn main() {}
