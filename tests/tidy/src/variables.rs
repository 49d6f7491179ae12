//! Environment variables that a developer may set are in CONTRIBUTING.md, or on the page that it names for them.

use crate::{Finding, Source, words};

const PAGES: [&str; 3] = [
    include_str!("../../../CONTRIBUTING.md"),
    include_str!("../../../docs/checkers.md"),
    include_str!("../../../docs/testbed.md"),
];
/// Beginnings of names that are ours.
const OURS: &[&str] = &["HGOP_", "HGD_", "HG_PYTHONS", "POWER_LOSS_", "SIMULATION_", "UPDATE_", "WRITE_"];

pub(crate) fn documented(source: &Source<'_>) -> Vec<Finding> {
    if !matches!(source.extension(), "rs" | "py") {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let named = lines.flat_map(|(number, line)| quoted(line).map(move |name| (number + 1, name)));
    let unknown = named.filter(|(_, name)| OURS.iter().any(|ours| name.starts_with(ours)) && !is_documented(name));
    unknown.map(|(line, name)| source.finding(line, format!("CONTRIBUTING.md says nothing of {name}"))).collect()
}

/// Strings that are a variable's name as a whole.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |text: &&str| !text.ends_with('_') && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    line.split('"').skip(1).step_by(2).filter(is_name)
}

fn is_documented(name: &str) -> bool {
    PAGES.iter().any(|page| words::identifiers(page).any(|(_, word)| word == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn variables_that_no_page_names_are_found() {
        let code = "var(\"HGOP_VENV\")\nvar(\"HGOP_SECRET\")\n// HGD_NEW\n\
                    \"HGD_CHECKER_REQUESTS is\"\nvar(\"HGD_NEW\")\n\"PATH_X\"\n";
        assert_eq!(samples::lines(documented, "a/b.rs", code), [2, 5]);
        assert_eq!(samples::lines(documented, "a/b.toml", code), []);
    }
}
