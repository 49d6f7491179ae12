//! Whoever starts a cluster is killed half-way; `cluster down` leaves nothing of it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use cluster::Built;

const NODES: &str = "2";
/// Half ways: what is said when that part of it is there.
const HALF_WAYS: [&str; 2] = ["the control plane answers", "node n1 has its"];

/// Beside whatever other cluster runs: this one has a folder of its own.
pub fn a_cluster_leaves_no_trace(built: &Built) {
    let directory = built.root.join("target/crashed-cluster");
    let down = || assert!(testbed(built, "down", &directory).status().unwrap().success());
    down();
    for half_way in HALF_WAYS {
        let before = Traces::find(&directory);
        starts_until(built, &directory, half_way);
        let there = Traces::find(&directory);
        for kind in ["namespaces", "groups", "processes", "files"] {
            let new: Vec<_> = there.of(kind).difference(before.of(kind)).cloned().collect();
            eprintln!("  {half_way}: {} {kind}", new.len());
            assert!(!new.is_empty(), "{kind}: this test sees nothing");
        }
        down();
        assert_eq!(Traces::find(&directory), before, "{half_way}");
    }
}

/// Killed, so that it can clean up nothing. What it has started goes on.
fn starts_until(built: &Built, directory: &Path, half_way: &str) {
    let mut command = testbed(built, "up", directory);
    command.args(["--nodes", NODES, "--image", "target/images/pause.tar"]).current_dir(&built.root);
    let mut starting = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(starting.stderr.take().unwrap()).lines().map(Result::unwrap);
    let found = said.any(|line| line.contains(half_way));
    starting.kill().unwrap();
    starting.wait().unwrap();
    assert!(found, "it has not come as far as '{half_way}'");
}

fn testbed(built: &Built, command: &str, directory: &Path) -> Command {
    let mut line = Command::new(built.programs.join("testbed"));
    line.args(["cluster", command, "--dir"]).arg(directory);
    line
}

/// Traces on this machine: every namespace, every control group at the top, and what names the folder.
#[derive(Debug, PartialEq, Eq)]
struct Traces(Vec<(&'static str, BTreeSet<String>)>);

impl Traces {
    fn find(directory: &Path) -> Traces {
        let folder = directory.to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect();
        let hierarchies = entries("/sys/fs/cgroup").into_iter().chain(["/sys/fs/cgroup".to_owned()]);
        let folders = hierarchies.flat_map(entries).filter(|path| Path::new(path).is_dir());
        let groups = folders.filter(|path| path.contains("/hgk-")).collect();
        let names = |process: &String| {
            // The kernel's processes have no command line, and one that ends meanwhile neither.
            let line = std::fs::read(format!("{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(folder)
        };
        let processes = entries("/proc").into_iter().filter(names).collect();
        let files = ["/var/lib/cni/results", "/var/log/containers", "/run/containerd/s"].into_iter().flat_map(entries);
        let links = files.filter(|path| std::fs::read_link(path).is_ok_and(|target| target.starts_with(folder)));
        Traces(vec![
            ("namespaces", entries("/run/netns").into_iter().collect()),
            ("mounts", mounts),
            ("groups", groups),
            ("processes", processes),
            ("files", links.chain(directory.exists().then(|| folder.to_owned())).collect()),
        ])
    }

    fn of(&self, kind: &str) -> &BTreeSet<String> {
        &self.0.iter().find(|(name, _)| *name == kind).unwrap().1
    }
}

/// None where there is no such folder.
fn entries(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect()
}
