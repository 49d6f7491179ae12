//! What things are called.

use crate::{Finding, Source, masking, words};

/// They say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager"];

/// One word per thing (design, section 2): what not to say, and what to say.
const SYNONYMS: &[(&str, &str)] = &[
    ("primary", "master"),
    ("leader", "master"),
    ("hgssh", "master"),
    ("slave", "standby or mirror"),
    ("secondary", "standby"),
    ("replica", "standby or mirror"),
    ("hgwebnode", "mirror"),
    ("epoch", "generation"),
    ("isr", "in-sync set"),
    ("quorum", "in-sync set"),
];

/// Other people's names: Kubernetes' fields and library, the clock's start.
const FOREIGN: &[&str] = &[
    "replicas",
    "UNIX_EPOCH",
    "unix_epoch",
    "since_unix_epoch",
    "EPOCH",
    "from_unix_epoch",
    "LeaderElection",
    "secondary",
    "ready_replicas",
    "active_replicas",
    "spec_replicas_path",
    "status_replicas_path",
];

pub(crate) fn banned(source: &Source<'_>) -> Vec<Finding> {
    if !matches!(source.extension(), "rs" | "py" | "go") {
        return Vec::new();
    }
    let stems = source.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let mut findings: Vec<Finding> =
        stems.filter_map(empty_part).map(|part| source.finding(1, says_nothing(&part))).collect();
    if source.extension() == "rs" {
        let masked = masking::rust(source.text);
        let words: Vec<(usize, &str)> = words::identifiers(&masked).collect();
        let modules = words.windows(2).filter(|pair| pair[0].1 == "mod");
        findings
            .extend(modules.filter_map(|pair| Some(source.finding(pair[1].0, says_nothing(&empty_part(pair[1].1)?)))));
    }
    findings
}

fn empty_part(name: &str) -> Option<String> {
    words::parts(name).into_iter().find(|part| EMPTY_NAMES.contains(&part.as_str()))
}

fn says_nothing(part: &str) -> String {
    format!("'{part}' says nothing about what is inside: name the subject")
}

pub(crate) fn synonyms(source: &Source<'_>) -> Vec<Finding> {
    let masked = match source.extension() {
        "rs" | "go" => masking::rust(source.text),
        "py" => masking::python(source.text),
        _ => return Vec::new(),
    };
    words::identifiers(&masked)
        .filter(|(_, word)| !FOREIGN.contains(word))
        .filter_map(|(line, word)| {
            let (part, say) = synonym(word)?;
            Some(source.finding(line, format!("'{part}' in '{word}': the word is {say}")))
        })
        .collect()
}

fn synonym(identifier: &str) -> Option<(&'static str, &'static str)> {
    let parts = words::parts(identifier);
    let whole = parts.concat();
    let said = |part: &str, synonym: &str| part == synonym || part.strip_suffix('s') == Some(synonym);
    let found = |(synonym, _): &&(&'static str, &'static str)| {
        said(&whole, synonym) || parts.iter().any(|part| said(part, synonym))
    };
    SYNONYMS.iter().find(found).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn names_that_say_nothing_are_found() {
        for path in ["a/util.rs", "common/a.rs", "test_helpers.py", "x/lease_manager/b.go"] {
            assert_eq!(samples::lines(banned, path, ""), [1], "{path}");
        }
        assert_eq!(samples::lines(banned, "a/utility_bills.rs", "// mod misc\n\npub mod misc {}\nmod b;"), [3]);
    }

    #[test]
    fn synonyms_are_found() {
        let code = "let replicas = spec.replicas;\nlet replicas_left = 1;\nstruct PrimaryPush;\n// primary\n\
                    \"slave\"\nHgwebNode\nUNIX_EPOCH\nepochs\n";
        assert_eq!(samples::lines(synonyms, "a.rs", code), [2, 3, 6, 8]);
        assert_eq!(samples::lines(synonyms, "a.py", "# leader\nleader = 1\n"), [2]);
    }
}
