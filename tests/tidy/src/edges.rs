//! Which crate may know which.

use crate::{Finding, Source};

/// Crates that are started, not linked. `kubectl-hg` and the operator come later.
const PROGRAMS: &[&str] = &["hgd", "hg-operator", "operator", "kubectl-hg"];
/// What the pure crate must not be able to do.
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
    listed(source.text).filter_map(refused).collect()
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

    #[test]
    fn forbidden_edges_are_found() {
        let manifest = "[package]\nname = \"hgd\"\n[dependencies]\ncrds.workspace = true\nhgd = { path = \"x\" }\n\
                        bytes = \"1\"\n[dependencies.kubectl-hg]\npath = \"x\"\n[lints]\ncrds = 1\n";
        assert_eq!(samples::lines(dependencies, "workloads/log/Cargo.toml", manifest), [4, 5, 7]);
        assert_eq!(samples::lines(dependencies, "workloads/hgd/Cargo.toml", manifest), [5, 7]);
        let pure = "[dev-dependencies]\ntempfile = \"1\"\n[target.'cfg(unix)'.dependencies]\ntokio.workspace = true\n";
        assert_eq!(samples::lines(dependencies, "workloads/protocol/Cargo.toml", pure), [4]);
        assert_eq!(samples::lines(dependencies, "operator/Cargo.toml", "[dependencies]\nmercurial = \"1\""), [2]);
    }
}
