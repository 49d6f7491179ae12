//! Words of code.

/// Identifiers of masked code, each with its line (from 1).
pub(crate) fn identifiers(masked: &str) -> impl Iterator<Item = (usize, &str)> {
    masked.lines().enumerate().flat_map(|(line, text)| {
        text.split(|character: char| !character.is_alphanumeric() && character != '_')
            .filter(|word| word.starts_with(|first: char| first.is_alphabetic() || first == '_'))
            .map(move |word| (line + 1, word))
    })
}

/// The parts of `snake_case`, `kebab-case`, `camelCase` and `SHOUTING_CASE` in lower case.
pub(crate) fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for character in identifier.chars() {
        let starts = !character.is_alphanumeric() || (character.is_uppercase() && before.is_lowercase());
        if starts {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut() {
            last.extend(character.is_alphanumeric().then_some(character).into_iter().flat_map(char::to_lowercase));
        }
        before = character;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The lines (from 1) in which `what` stands, not as part of a longer word.
pub(crate) fn lines_with<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.lines().enumerate().filter(|(_, line)| contains_word(line, what)).map(|(line, _)| line + 1)
}

fn contains_word(line: &str, what: &str) -> bool {
    let part_of_word = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let begins_as_word = what.chars().next().is_some_and(|first| part_of_word(Some(first)));
    line.match_indices(what).any(|(place, _)| !begins_as_word || !part_of_word(line[..place].chars().next_back()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_fall_into_parts() {
        assert_eq!(parts("MAX_FILE_lines"), ["max", "file", "lines"]);
        assert_eq!(parts("primaryNode-x2"), ["primary", "node", "x2"]);
        let found: Vec<_> = identifiers("a.b_c\n 9 + d9").collect();
        assert_eq!(found, [(1, "a"), (1, "b_c"), (2, "d9")]);
        assert_eq!(lines_with("sleep(\nasleep(\n.sleep(", "sleep(").collect::<Vec<_>>(), [1, 3]);
    }
}
