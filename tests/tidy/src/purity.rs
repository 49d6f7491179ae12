//! Cores that decide take time, messages and storage results as values. The map lists them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::{Finding, Source, masking, pages, words};

/// Files, folders (`/` at the end) and single functions (`file#name`).
static LISTED: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let rows = pages::table(pages::MAP, "| decides | where |");
    rows.iter().flat_map(|row| row.last()).flat_map(|cell| pages::quoted(cell)).collect()
});

/// Words of what has an effect, or reads a clock.
const EFFECTS: &[&str] = &[
    "tokio",
    "Instant",
    "SystemTime",
    "fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "File",
    "rustix",
    "thread",
    "transport",
    "reqwest",
    "kube",
    "async",
    "await",
];

pub(crate) fn modules(source: &Source<'_>) -> Vec<Finding> {
    if source.extension() != "rs" || source.is_test() {
        return Vec::new();
    }
    let masked = masking::without_tests(&masking::rust(source.text));
    let whole = LISTED
        .iter()
        .any(|listed| source.path == *listed || (listed.ends_with('/') && source.path.starts_with(listed)));
    if !whole && decides(source.path) {
        return vec![source.finding(1, "it decides, and docs/architecture.md does not list it among those that do")];
    }
    let functions = LISTED.iter().filter_map(|listed| listed.strip_prefix(source.path)?.strip_prefix('#'));
    let places: Vec<(usize, &str)> = match whole {
        true => vec![(0, &masked)],
        false => functions.map(|name| function(&masked, name)).collect(),
    };
    places.into_iter().flat_map(|(before, code)| effects(source, before, code)).collect()
}

/// Lists what the map says that is pure, as files and folders.
pub fn listed() -> impl Iterator<Item = &'static str> {
    LISTED.iter().map(|listed| listed.split('#').next().unwrap_or(listed))
}

fn effects(source: &Source<'_>, before: usize, code: &str) -> Vec<Finding> {
    let what = |word: &str| format!("'{word}' in what decides: take its result as a value");
    let found = words::identifiers(code).filter(|(_, word)| EFFECTS.contains(word));
    found.map(|(line, word)| source.finding(before + line, what(word))).collect()
}

/// The lines before a function, and its code; nothing where there is none of that name.
fn function<'a>(masked: &'a str, name: &str) -> (usize, &'a str) {
    let start = masked.find(&format!("fn {name}(")).unwrap_or(masked.len());
    let start = masked[..start].rfind('\n').map_or(0, |end| end + 1);
    (masked[..start].matches('\n').count(), &masked[start..masking::end_of_item(masked, start)])
}

/// By its name alone.
fn decides(path: &str) -> bool {
    let Some((folders, name)) = path.rsplit_once('/') else { return false };
    matches!(name, "core.rs" | "decide.rs" | "validate.rs" | "build.rs" | "keeper.rs") && folders.contains("src")
        || folders.split('/').any(|folder| matches!(folder, "core" | "decide"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    const CODE: &str = "use std::time::{Duration, Instant};\nuse std::fs;\n// tokio\nuse std::net::IpAddr;\n\
                        tokio::spawn(x);\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";

    #[test]
    fn effects_in_what_is_listed_are_found() {
        for path in ["workloads/failover/src/keeper.rs", "workloads/follower/src/lanes/b.rs"] {
            assert_eq!(samples::lines(modules, path, CODE), [1, 2, 5], "{path}");
        }
        assert!(samples::lines(modules, "workloads/failover/src/driver.rs", CODE).is_empty());
    }

    #[test]
    fn one_function_is_looked_at_alone() {
        let code =
            "use std::fs;\nasync fn act() {}\npub fn decide(a: A) {\n    fs::read(a);\n}\nfn b() { fs::read(a) }\n";
        assert_eq!(samples::lines(modules, "operator/src/repository/import.rs", code), [4]);
    }

    #[test]
    fn what_decides_by_its_name_is_listed() {
        for path in ["a/src/decide.rs", "a/src/core.rs", "a/src/b/validate.rs", "a/src/decide/b.rs"] {
            assert_eq!(samples::lines(modules, path, ""), [1], "{path}");
        }
        assert!(samples::lines(modules, "workloads/mercurial/build.rs", CODE).is_empty());
    }
}
