//! Shorthand for the rules' own tests.

use crate::{Rule, Source};

/// The lines of the findings.
pub(crate) fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&Source { path, text }).into_iter().map(|finding| finding.line).collect()
}
