//! Cores that decide take time, messages and storage results as values.

use crate::{Finding, Source, masking, words};

/// What has an effect, or reads a clock.
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
];

pub(crate) fn modules(source: &Source<'_>) -> Vec<Finding> {
    if source.extension() != "rs" || source.is_test() || !is_pure(source.path) {
        return Vec::new();
    }
    let masked = masking::without_tests(&masking::rust(source.text));
    words::identifiers(&masked)
        .filter(|(_, word)| EFFECTS.contains(word))
        .map(|(line, word)| source.finding(line, format!("'{word}' in a pure module: take its result as a value")))
        .collect()
}

fn is_pure(path: &str) -> bool {
    let Some((folders, name)) = path.rsplit_once('/') else { return false };
    matches!(name, "core.rs" | "decide.rs")
        || folders.split('/').any(|folder| matches!(folder, "core" | "decide" | "lanes" | "aggregator"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn effects_in_pure_modules_are_found() {
        let code = "use std::time::{Duration, Instant};\nuse std::fs;\n// tokio\nuse std::net::IpAddr;\n\
                    tokio::spawn(x);\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        for path in ["a/src/decide.rs", "a/src/core.rs", "a/src/lanes/b.rs", "workloads/aggregator/src/lib.rs"] {
            assert_eq!(samples::lines(modules, path, code), [1, 2, 5], "{path}");
        }
        assert!(samples::lines(modules, "a/src/act.rs", code).is_empty());
    }
}
