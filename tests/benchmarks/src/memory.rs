//! How large every process is.

use std::collections::BTreeMap;

use scenarios::{Client, Installation, Options, RegistryClient, mercurials, settings, wait_longer_for};

use crate::Scale;
use crate::process_table;
use crate::report::Report;

const GOAL_MIB: f64 = 64.0;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

pub fn run(scale: &Scale, report: &mut Report) {
    let mercurial = mercurials().pop().unwrap();
    let installation = Installation::start(Options::new(&mercurial, &["first", "second"]));
    let client = Client::new(&installation, &mercurial, "developer");
    client.init("work");
    client.hg("work", &["push", &client.push_url("first")]).ok();
    installation.settled();
    let idle = sizes(&installation);
    let count = scale.of(1_000, 50);
    let paths: Vec<String> = (0..count).map(|number| format!("many/repository-{number}")).collect();
    RegistryClient::new(&installation).put_all(&paths, &settings(true));
    wait_longer_for(PATIENCE, "repositories on all mirrors", || {
        let status = installation.status();
        let newest = status.instances.iter().map(|instance| instance.applied).max().ok_or("no instance")?;
        let level = status.mirrors.iter().all(|mirror| mirror.published == newest);
        let known = status.repositories.len() >= count;
        if level && known { Ok(()) } else { Err(format!("{:?}", status.mirrors)) }
    });
    let many = sizes(&installation);
    report.part(
        "Memory (MiB resident / proportional), sum of processes of one kind",
        &["process", "how many", "idle, 2 repositories", &format!("{count} repositories")],
    );
    for (role, now) in &many {
        let before = idle.get(role).copied().unwrap_or_default();
        report.row(&[
            role.clone(),
            now.processes.to_string(),
            format!("{:.0} / {:.0}", before.resident, before.proportional),
            format!("{:.0} / {:.0}", now.resident, now.proportional),
        ]);
    }
    let largest = many.iter().filter(|(role, _)| !role.contains("Mercurial")).map(|(_, size)| size.largest);
    let largest = largest.fold(0.0, f64::max);
    let met = if largest <= GOAL_MIB { "met" } else { "**missed**" };
    report.say(&format!("Largest Rust process: {largest:.0} MiB resident (goal at most 64: {met})."));
}

#[derive(Clone, Copy, Default)]
struct Size {
    processes: usize,
    resident: f64,
    proportional: f64,
    largest: f64,
}

fn sizes(installation: &Installation) -> BTreeMap<String, Size> {
    let mut sizes: BTreeMap<String, Size> = BTreeMap::new();
    for process in process_table::tree(installation.supervisor()) {
        let Some((resident, proportional)) = process_table::size(process.pid) else { continue };
        let kind = if process.is_python { " (Mercurial)" } else { "" };
        let size = sizes.entry(role(&process.command) + kind).or_default();
        size.processes += 1;
        size.resident += resident;
        size.proportional += proportional;
        size.largest = size.largest.max(resident);
    }
    sizes
}

/// Names the part of the installation that a command line belongs to.
pub fn role(command: &str) -> String {
    let names = ["ssh-0", "ssh-1", "mirror-0", "mirror-1", "mirror-2", "mirror-3", "balancer", "all-in-one"];
    let known =
        names.iter().find(|name| command.contains(&format!("/{name}")) || command.contains(&format!(" {name}")));
    known.map_or_else(|| command.chars().take(40).collect(), |name| (*name).to_owned())
}
