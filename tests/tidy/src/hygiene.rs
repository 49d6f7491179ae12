//! Licences.

use crate::{Finding, Source};

/// Our only code that runs inside Mercurial, hence under Mercurial's licence.
const EXTENSION: &str = "workloads/mercurial/extension/";
const SPDX: &str = "# SPDX-License-Identifier: GPL-2.0-or-later";
/// Lines from the top within which it stands.
const WITHIN_LINES: usize = 3;

pub(crate) fn licences(source: &Source<'_>) -> Vec<Finding> {
    let python = source.path.starts_with(EXTENSION) && source.extension() == "py";
    let missing = python && !source.text.lines().take(WITHIN_LINES).any(|line| line == SPDX);
    missing.then(|| source.finding(1, format!("'{SPDX}' is not at the top"))).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_missing_licence_is_found() {
        let path = "workloads/mercurial/extension/hg_operator/gate.py";
        assert_eq!(samples::lines(licences, path, "import os\n"), [1]);
        assert!(samples::lines(licences, path, &format!("#!/usr/bin/env python3\n{SPDX}\n")).is_empty());
        assert!(samples::lines(licences, "tests/a.py", "").is_empty());
    }
}
