//! Nothing of the machine or the network it was written on.

use crate::{Finding, Source};

/// Folders of one person's machine. The next character is part of it.
const MACHINE_PATHS: &[&str] = &["/work/", "/root/", "/home/", "/opt/"];
/// Where crates, packages, modules and images come from is for the person's own tools to know.
const REGISTRIES: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "pypi.org",
    "pythonhosted.org",
    "npmjs.org",
    "proxy.golang.org",
    "deb.debian.org",
    "docker.io",
    "quay.io",
    "ghcr.io",
    "registry.k8s.io",
    "--index-url",
    "PIP_INDEX_URL",
    "GOPROXY=",
];
/// The rules name what they forbid.
const RULES: &str = "tests/tidy/";
/// (path, text): examples that name such a path on purpose.
const ALLOWED: &[(&str, &str)] = &[];

pub(crate) fn paths(source: &Source<'_>) -> Vec<Finding> {
    found(source, MACHINE_PATHS, "is a path of one machine", |before| {
        // Below another folder, or a URL: not the machine's.
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')' | '>' | '*'))
    })
}

pub(crate) fn registries(source: &Source<'_>) -> Vec<Finding> {
    found(source, REGISTRIES, "is a registry's address or setting: leave it to the person's tools", |before| {
        !before.is_some_and(|c| c.is_alphanumeric() || c == '-')
    })
}

fn found(source: &Source<'_>, what: &[&str], reason: &str, counts: impl Fn(Option<char>) -> bool) -> Vec<Finding> {
    if source.path.starts_with(RULES) || source.path == "Cargo.lock" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let allowed = ALLOWED.iter().any(|(path, text)| *path == source.path && line.contains(text));
        let said =
            |what: &&&str| line.match_indices(**what).any(|(place, _)| counts(line[..place].chars().next_back()));
        if let Some(what) = what.iter().find(said).filter(|_| !allowed) {
            findings.push(source.finding(number + 1, format!("'{what}' {reason}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn paths_of_a_machine_are_found() {
        let text =
            "see /work/main\nnet/work/it\n\"/root/.ssh\"\n~/x\n/home/someone/x\nPATH=/opt/hg/bin\n$HOME/opt/x\n";
        assert_eq!(samples::lines(paths, "a.md", text), [1, 3, 5, 6]);
    }

    #[test]
    fn registries_are_found() {
        let text = "https://pypi.org/simple\ncrates.io\npip install --index-url x\nindex.crates.io\n";
        assert_eq!(samples::lines(registries, "Makefile", text), [1, 3, 4]);
    }
}
