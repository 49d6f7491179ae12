//! The chart and the quickstart on a real Kubernetes, from the installation to the end. One test, because a cluster
//! costs a minute. Run by `make test-cluster`; `HGOP_CLUSTER_STEPS=scaling,a_node` runs only these, in their order.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crashed;
mod full_disk;
mod gaps;
mod life;
mod losses;
mod mistakes;
mod nodes;
mod partitions;
mod pods;
mod promotion;
mod scaling;
mod shared;

use std::time::Instant;

use cluster::{Built, Cluster, Developer};

type Step = fn(&Cluster, &mut Developer);

const STEPS: &[(&str, Step)] = &[
    ("repositories", life::push_and_clone),
    ("scaling", scaling::two_to_four_to_one),
    ("mirrors", pods::a_mirror_comes_back),
    ("standby", pods::the_standby_comes_back),
    ("master", pods::the_master_comes_back),
    ("killed", promotion::a_killed_master_is_replaced),
    ("killed_twice", promotion::two_masters_are_killed_in_a_row),
    ("switchover", promotion::a_switchover_is_asked_for),
    ("drained", promotion::a_masters_node_is_drained),
    ("rolled_out", promotion::a_new_template_is_rolled_out),
    ("all_killed", promotion::all_instances_are_killed),
    ("process_killed", losses::a_masters_process_is_killed),
    ("frozen", losses::a_frozen_master_is_replaced_and_thaws),
    ("emptied", losses::a_masters_volume_is_emptied),
    ("register_lost", losses::the_register_is_removed),
    ("standby_hangs", losses::a_standby_hangs),
    ("strict", losses::a_standby_hangs_and_is_needed),
    ("from_standby", partitions::a_master_without_its_standby),
    ("from_api_server", partitions::a_master_without_the_api_server),
    ("from_operator", partitions::a_master_without_the_operator),
    ("operator_alone", partitions::an_operator_without_anybody),
    ("masters_node", promotion::a_masters_node_is_cut_off),
    ("a_node", nodes::a_node_is_cut_off),
    ("shared", shared::one_volume_for_all_instances),
    ("full_disk", full_disk::of_the_master_and_of_the_standby),
    ("mistakes", mistakes::are_told_and_heal),
    // Afterwards Services may not follow for a while (docs/operating/promotion.md), for which no gap is asserted.
    ("no_api_server", partitions::nobody_has_an_api_server),
    ("api_server_killed", partitions::the_api_server_is_killed),
    ("upgrade", life::an_upgrade_restarts_nothing),
    ("uninstall", life::uninstalling_keeps_everything),
];

/// Only when it is named.
const GAPS: (&str, Step) = ("gaps", gaps::are_measured);
/// Before there is a cluster.
const CRASHED: &str = "crashed";

#[test]
fn a_cluster_from_its_installation_to_its_end() {
    let named = std::env::var("HGOP_CLUSTER_STEPS").unwrap_or_default();
    let named: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
    let all = || STEPS.iter().chain([&GAPS]);
    for name in &named {
        let known = *name == CRASHED || all().any(|(known, _)| known == name);
        assert!(known, "HGOP_CLUSTER_STEPS: there is no step '{name}'");
    }
    let is_asked_for = |name: &str| if named.is_empty() { name != GAPS.0 } else { named.contains(&name) };
    let built = Built::find();
    if is_asked_for(CRASHED) {
        timed(CRASHED, || crashed::a_cluster_leaves_no_trace(&built));
    }
    if named == [CRASHED] {
        return;
    }
    let cluster = Cluster::start(built);
    let mut developer = Developer::new(&cluster, "developer");
    for (name, step) in all().filter(|(name, _)| is_asked_for(name)) {
        timed(name, || step(&cluster, &mut developer));
    }
}

fn timed(name: &str, step: impl FnOnce()) {
    let begun = Instant::now();
    eprintln!("{name}");
    step();
    eprintln!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
}
