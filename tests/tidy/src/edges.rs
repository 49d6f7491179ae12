//! Edges between crates: the column "uses" of the map, which must be complete and true, and what no map may say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::{Finding, Source, pages};

/// How the tables of crates begin in the map.
const HEADERS: [&str; 2] = ["| crate | subject | uses | knows nothing of |", "| crate of tests | subject | uses |"];
/// Folders of crates by what the map calls them.
static MAPPED: LazyLock<BTreeMap<&str, BTreeSet<&str>>> = LazyLock::new(|| {
    let rows = HEADERS.into_iter().flat_map(|header| pages::table(pages::MAP, header));
    let row =
        |row: Vec<&'static str>| Some((pages::quoted(row.first()?).next()?, pages::quoted(row.get(2)?).collect()));
    rows.filter_map(row).collect()
});
/// Crates that are started, not linked.
const PROGRAMS: &[&str] = &["hgd", "hg-operator", "operator", "kubectl-hg"];
/// Effects that the pure crate must not be able to have.
const EFFECTS: &[&str] = &["tokio", "axum", "hyper", "hyper-util", "rustix", "transport", "log", "rand", "tempfile"];

pub(crate) fn dependencies(source: &Source<'_>) -> Vec<Finding> {
    let Some(own) = source.path.strip_suffix("Cargo.toml").map(|path| path.trim_end_matches('/')) else {
        return Vec::new();
    };
    if own.is_empty() {
        return Vec::new();
    }
    let refused = |(line, name, is_test): (usize, &str, bool)| {
        let reason = refuse(own, name, is_test)?;
        Some(source.finding(line, format!("{own} must not depend on {name}: {reason}")))
    };
    let mut findings: Vec<Finding> = listed(source.text).filter_map(refused).collect();
    findings.extend(unmapped(source, own));
    findings
}

/// The crates that the map has a row for.
pub fn mapped() -> impl Iterator<Item = &'static str> {
    MAPPED.keys().copied()
}

/// How the map calls the crate of this folder.
pub fn name(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

/// Edges that the map does not have, and those that only the map has. What tests alone use is not in it.
fn unmapped(source: &Source<'_>, own: &str) -> Vec<Finding> {
    // Outside the workspace.
    if own == "fuzz" {
        return Vec::new();
    }
    let say = |line, what: String| source.finding(line, format!("{what}: see the code map in docs/architecture.md"));
    let Some(uses) = MAPPED.get(name(own)) else {
        return vec![say(1, format!("'{}' has no row", name(own)))];
    };
    let ours = listed(source.text).filter(|(_, used, is_test)| !is_test && MAPPED.contains_key(used));
    let found: Vec<(usize, &str)> = ours.map(|(line, used, _)| (line, used)).collect();
    let new = found.iter().filter(|(_, used)| !uses.contains(used));
    let gone = uses.iter().filter(|used| found.iter().all(|(_, found)| found != *used));
    new.map(|(line, used)| say(*line, format!("the row of '{}' does not say that it uses '{used}'", name(own))))
        .chain(gone.map(|used| say(1, format!("the row of '{}' says that it uses '{used}'", name(own)))))
        .collect()
}

fn refuse(own: &str, dependency: &str, is_test: bool) -> Option<&'static str> {
    let workload = own.starts_with("workloads/");
    if PROGRAMS.contains(&dependency) {
        return Some("programs are started, never linked");
    }
    if workload && own != "workloads/hgd" && dependency == "crds" {
        return Some("workloads do not know the resources, except in all-in-one");
    }
    if own == "operator" && dependency == "mercurial" {
        return Some("the operator never runs hg");
    }
    if own == "workloads/protocol" && !is_test && EFFECTS.contains(&dependency) {
        return Some("the protocol is pure");
    }
    if own == "crds" && ["transport", "mercurial", "follower", "ssh-server"].contains(&dependency) {
        return Some("resources are data");
    }
    None
}

/// Line, name, and whether it is for tests, of each dependency of a manifest.
fn listed(manifest: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut section = "";
    manifest.lines().enumerate().filter_map(move |(number, line)| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            let (kind, name) = section.split_once("dependencies.")?;
            return Some((number + 1, name, kind == "dev-"));
        }
        if !section.ends_with("dependencies") || line.is_empty() || line.starts_with('#') {
            return None;
        }
        let name = line.split(['.', '=', ' ']).next()?;
        Some((number + 1, name.trim_matches('"'), section.ends_with("dev-dependencies")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    /// Lines of refusals; what is said of line 1 is about the map.
    fn refused(path: &str, manifest: &str) -> Vec<usize> {
        samples::lines(dependencies, path, manifest).into_iter().filter(|line| *line > 1).collect()
    }

    #[test]
    fn forbidden_edges_are_found() {
        let manifest = "[package]\nname = \"hgd\"\n[dependencies]\ncrds.workspace = true\nhgd = { path = \"x\" }\n\
                        bytes = \"1\"\n[dependencies.kubectl-hg]\npath = \"x\"\n[lints]\ncrds = 1\n";
        assert_eq!(refused("workloads/new/Cargo.toml", manifest), [4, 5, 7]);
        let pure =
            "\n[dev-dependencies]\ntempfile = \"1\"\n[target.'cfg(unix)'.dependencies]\ntokio.workspace = true\n";
        assert_eq!(refused("workloads/protocol/Cargo.toml", pure), [5]);
        let manifest = "\n[dev-dependencies]\nmercurial = \"1\"";
        assert_eq!(refused("operator/Cargo.toml", manifest), [3]);
    }

    #[test]
    fn edges_are_as_the_map_says() {
        let found = |path: &str, manifest: &str| samples::lines(dependencies, path, manifest);
        let log = |more: &str| format!("[package]\n[dependencies]\nprotocol.workspace = true\nbytes = \"1\"\n{more}");
        assert_eq!(found("workloads/log/Cargo.toml", &log("")), []);
        assert_eq!(found("workloads/log/Cargo.toml", &log("[dev-dependencies]\nregister = \"1\"\n")), []);
        assert_eq!(found("workloads/log/Cargo.toml", &log("register.workspace = true\n")), [5]);
        assert_eq!(found("workloads/log/Cargo.toml", "[dependencies]\n"), [1]);
        assert_eq!(found("workloads/new/Cargo.toml", "[dependencies]\n"), [1]);
    }
}
