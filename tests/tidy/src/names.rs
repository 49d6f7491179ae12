//! Names of things.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::{Finding, Source, masking, pages, words};

/// They say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager"];

/// Words not to say, and what to say instead, by docs/glossary.md.
static SYNONYMS: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let mut synonyms = BTreeMap::<_, Vec<_>>::new();
    for row in pages::table(pages::GLOSSARY, "| word | means | never |") {
        for never in row.last().into_iter().flat_map(|cell| pages::quoted(cell)) {
            synonyms.entry(never).or_default().extend(row.first());
        }
    }
    synonyms
});

/// Names of Kubernetes and of libraries, by the same page.
static FOREIGN: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let rows = pages::table(pages::GLOSSARY, "| name | of |");
    rows.into_iter().flat_map(|row| row.into_iter().take(1)).flat_map(pages::quoted).collect()
});

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
        .filter(|(_, word)| !FOREIGN.contains(*word))
        .filter_map(|(line, word)| {
            let (part, say) = synonym(word)?;
            Some(source.finding(line, format!("'{part}' in '{word}': the word is {say}")))
        })
        .collect()
}

fn synonym(identifier: &str) -> Option<(&'static str, String)> {
    let parts = words::parts(identifier);
    let whole = parts.concat();
    let said = |part: &str, synonym: &str| part == synonym || part.strip_suffix('s') == Some(synonym);
    let found = |synonym: &str| said(&whole, synonym) || parts.iter().any(|part| said(part, synonym));
    let (synonym, say) = SYNONYMS.iter().find(|(synonym, _)| found(synonym))?;
    Some((synonym, say.join(" or ")))
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
    fn the_glossary_is_read() {
        assert_eq!(SYNONYMS["replica"], ["standby", "mirror"]);
        assert!(SYNONYMS.len() >= 10 && FOREIGN.contains("UNIX_EPOCH") && FOREIGN.contains("replicas"));
    }

    #[test]
    fn synonyms_are_found() {
        let code = "let replicas = spec.replicas;\nlet replicas_left = 1;\nstruct PrimaryPush;\n// primary\n\
                    \"slave\"\nHgwebNode\nUNIX_EPOCH\nepochs\n";
        assert_eq!(samples::lines(synonyms, "a.rs", code), [2, 3, 6, 8]);
        assert_eq!(samples::lines(synonyms, "a.py", "# leader\nleader = 1\n"), [2]);
    }
}
