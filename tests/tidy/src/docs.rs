//! Doc comments begin with the thing that they document, or with a verb.

use crate::{Finding, Source};

/// First words that leave the reader to guess what is meant.
const FIRST_WORDS: &[&str] = &["It", "Its", "What", "Who", "Whom", "Whose", "Which", "Of"];
/// Files whose doc comments are shown to people below the name of a field or an option.
const SHOWN: &[&str] = &["JsonSchema", "clap"];

pub(crate) fn beginnings(source: &Source<'_>) -> Vec<Finding> {
    if source.extension() != "rs" || SHOWN.iter().any(|shown| source.text.contains(shown)) {
        return Vec::new();
    }
    let lines = source.text.lines().map(doc);
    let before = std::iter::once(None).chain(lines.clone());
    let begun = lines.zip(before).enumerate().filter_map(|(number, (line, before))| match before {
        None => Some((number + 1, line?)),
        Some(_) => None,
    });
    let first =
        |text: &str| text.split_whitespace().next().and_then(|word| FIRST_WORDS.iter().find(|first| **first == word));
    let what = |word: &str| format!("'{word}' begins a doc comment: begin with the thing, or with a verb");
    begun.filter_map(|(number, text)| Some(source.finding(number, what(first(text)?)))).collect()
}

/// The text of a line that is a doc comment.
fn doc(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).filter(|text| !text.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn beginnings_that_name_nothing_are_found() {
        let code = "//! What is done.\n//! It is done.\n\n\
                    /// Master of all.\n/// It reigns.\nfn a() {}\n    /// Of a.\n    b: u8,\n\
                    // What else.\n//// Who\n/// `It` is a word.\n";
        assert_eq!(samples::lines(beginnings, "a.rs", code), [1, 7]);
        assert!(samples::lines(beginnings, "a.rs", &format!("use clap::Args;\n{code}")).is_empty());
    }
}
