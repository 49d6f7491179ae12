//! The chart and the quickstart on a real Kubernetes, from the installation to the end. One test, because a cluster
//! costs a minute. Run by `make test-cluster`; `HGOP_CLUSTER_STEPS=scaling,a_node` runs only these.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod life;
mod mistakes;
mod nodes;
mod partitions;
mod pods;
mod promotion;
mod scaling;
mod shared;

use std::time::Instant;

use cluster::{Cluster, Developer};

type Step = fn(&Cluster, &mut Developer);

const STEPS: &[(&str, Step)] = &[
    ("repositories", life::push_and_clone),
    ("scaling", scaling::two_to_four_to_one),
    ("mirrors", pods::a_mirror_comes_back),
    ("standby", pods::the_standby_comes_back),
    ("master", pods::the_master_comes_back),
    ("killed", promotion::a_killed_master_is_replaced),
    ("switchover", promotion::a_switchover_is_asked_for),
    ("drained", promotion::a_masters_node_is_drained),
    ("rolled_out", promotion::a_new_template_is_rolled_out),
    ("all_killed", promotion::all_instances_are_killed),
    ("from_standby", partitions::a_master_without_its_standby),
    ("from_api_server", partitions::a_master_without_the_api_server),
    ("from_operator", partitions::a_master_without_the_operator),
    ("no_api_server", partitions::nobody_has_an_api_server),
    ("masters_node", promotion::a_masters_node_is_cut_off),
    ("a_node", nodes::a_node_is_cut_off),
    ("shared", shared::one_volume_for_all_instances),
    ("mistakes", mistakes::are_told_and_heal),
    ("upgrade", life::an_upgrade_restarts_nothing),
    ("uninstall", life::uninstalling_keeps_everything),
];

#[test]
fn a_cluster_from_its_installation_to_its_end() {
    let named = std::env::var("HGOP_CLUSTER_STEPS").unwrap_or_default();
    let named: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
    for name in &named {
        assert!(STEPS.iter().any(|(known, _)| known == name), "HGOP_CLUSTER_STEPS: there is no step '{name}'");
    }
    let cluster = Cluster::start();
    let mut developer = Developer::new(&cluster, "developer");
    for (name, step) in STEPS.iter().filter(|(name, _)| named.is_empty() || named.contains(name)) {
        let begun = Instant::now();
        eprintln!("{name}");
        step(&cluster, &mut developer);
        eprintln!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    }
}
