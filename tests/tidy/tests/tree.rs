//! All rules on all files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use tidy::{RULES, Source, edges, purity, tree};

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

#[test]
fn the_map_names_what_is_there() {
    let files = tree::files(&tree::root()).unwrap();
    let folders = files.iter().filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
    let crates: Vec<&str> = folders.map(edges::name).collect();
    let gone: Vec<&str> = edges::mapped().filter(|name| !crates.contains(name)).collect();
    assert!(gone.is_empty(), "docs/architecture.md has rows of crates that are not there: {gone:?}");
    let is_there = |listed: &str| {
        files.iter().any(|(path, _)| path == listed || (listed.ends_with('/') && path.starts_with(listed)))
    };
    let gone: Vec<&str> = purity::listed().filter(|listed| !is_there(listed)).collect();
    assert!(gone.is_empty(), "docs/architecture.md lists among what decides what is not there: {gone:?}");
}

#[test]
fn links_of_the_docs_lead_somewhere() {
    let root = tree::root();
    let mut dead = Vec::new();
    for (path, text) in tree::files(&root).unwrap().iter().filter(|(path, _)| path.ends_with(".md")) {
        let folder = root.join(path).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !link.contains("://") && !file.is_empty() && !folder.join(file).exists() {
                dead.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn make_knows_what_the_docs_tell_to_make() {
    let files = tree::files(&tree::root()).unwrap();
    let makefile = &files.iter().find(|(path, _)| path == "Makefile").unwrap().1;
    let is_target = |name: &str| makefile.lines().any(|line| line.split(':').next() == Some(name));
    let mut unknown = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".md")) {
        let told = text
            .match_indices("make ")
            .filter(|(place, _)| ["`", "```\n"].iter().any(|before| text[..*place].ends_with(before)));
        let names = told.map(|(place, said)| {
            let rest = &text[place + said.len()..];
            &rest[..rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len())]
        });
        unknown.extend(names.filter(|name| !is_target(name)).map(|name| format!("{path}: make {name}")));
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}
