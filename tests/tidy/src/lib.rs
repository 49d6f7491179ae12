//! The rules of style as tests: each looks at one file's text and says what is wrong. `tests/tree.rs` applies them all
//! to every file of the repository; each rule's own tests show it a bad sample, so that none can pass by seeing
//! nothing.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod docs;
pub mod edges;
mod hygiene;
mod lengths;
mod masking;
mod names;
mod pages;
mod panics;
mod places;
pub mod purity;
#[cfg(test)]
mod samples;
pub mod tree;
mod variables;
mod words;

/// One file of the repository.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// From the repository's root, with `/`.
    pub path: &'a str,
    pub text: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// From 1.
    pub line: usize,
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

pub type Rule = fn(&Source<'_>) -> Vec<Finding>;

pub const RULES: &[(&str, Rule)] = &[
    ("file length", lengths::files),
    ("function length", lengths::functions),
    ("line length", lengths::lines),
    ("file and module names", names::banned),
    ("glossary", names::synonyms),
    ("beginnings of doc comments", docs::beginnings),
    ("crate edges", edges::dependencies),
    ("pure modules", purity::modules),
    ("no panics by intent", panics::unwraps),
    ("nothing unfinished", panics::unfinished),
    ("tests wait for levels", panics::sleeps),
    ("licence of the extension", hygiene::licences),
    ("no machine's paths", places::paths),
    ("no registries", places::registries),
    ("environment variables", variables::documented),
];

impl Source<'_> {
    fn extension(&self) -> &str {
        self.path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, extension)| extension)
    }

    fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.to_owned(), line, what: what.into() }
    }

    /// Whole files of tests; modules of tests within a file are [`masking::without_tests`]'s business.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }
}
