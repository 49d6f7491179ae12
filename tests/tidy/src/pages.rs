//! Tables of the docs that rules are read from.

/// The words, and the names of others.
pub(crate) const GLOSSARY: &str = include_str!("../../../docs/glossary.md");
/// The map: which crates there are and use each other, and which modules decide.
pub(crate) const MAP: &str = include_str!("../../../docs/architecture.md");

/// The cells of each row below the line `header`, without the line between them.
pub(crate) fn table<'a>(page: &'a str, header: &str) -> Vec<Vec<&'a str>> {
    let below = page.lines().skip_while(|line| *line != header).skip(2);
    let rows = below.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Texts between backquotes.
pub(crate) fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let page = "| c | d |\n| --- | --- |\n| 9 | 9 |\n\n\
                    | a | b |\n| --- | --- |\n| `x`, `y z` | |\n| q | `w` |\nend\n| n | n |\n";
        let rows = table(page, "| a | b |");
        assert_eq!(rows, [["`x`, `y z`", ""], ["q", "`w`"]]);
        assert_eq!(quoted(rows[0][0]).collect::<Vec<_>>(), ["x", "y z"]);
        assert!(table(page, "| a |").is_empty());
    }
}
