//! All rules on all files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use tidy::{RULES, Source, tree};

#[test]
fn the_repository_keeps_its_rules() {
    let files = tree::files(&tree::root()).unwrap();
    for known in ["Cargo.toml", "Makefile", "tests/tidy/src/lib.rs", "workloads/protocol/src/lib.rs"] {
        assert!(files.iter().any(|(path, _)| path == known), "{known} was not looked at");
    }
    let mut findings = Vec::new();
    for (path, text) in &files {
        for (name, rule) in RULES {
            findings.extend(rule(&Source { path, text }).into_iter().map(|finding| format!("{finding} ({name})")));
        }
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    println!("{} rules on {} files", RULES.len(), files.len());
}
