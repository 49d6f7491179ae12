//! Splits a command line into words, as far as Mercurial's clients quote them; everything else of a shell is an error
//! or a plain character.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SplitError {
    Quote,
    Control,
    Backslash,
}

/// Words are parted by spaces. `'...'` is literal; `\'` between quotes is how clients write a quote (`'it'\''s'`);
/// `"..."` is literal too and holds no backslash.
pub(crate) fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' | '"' => {
                let (quoted, after) = rest.as_str().split_once(c).ok_or(SplitError::Quote)?;
                if c == '"' && quoted.contains('\\') {
                    return Err(SplitError::Backslash);
                }
                word.get_or_insert_default().push_str(quoted);
                rest = after.chars();
            }
            '\\' if rest.as_str().starts_with('\'') => {
                rest.next();
                word.get_or_insert_default().push('\'');
            }
            '\\' => return Err(SplitError::Backslash),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if line.contains(char::is_control) { Err(SplitError::Control) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_clients_quote_them() {
        let table: [(&str, &[&str]); 12] = [
            ("", &[]),
            ("  ", &[]),
            ("hg -R a/b serve --stdio", &["hg", "-R", "a/b", "serve", "--stdio"]),
            ("hg  -R  a", &["hg", "-R", "a"]),
            ("hg -R 'path with' serve", &["hg", "-R", "path with", "serve"]),
            (r"hg -R 'it'\''s' serve", &["hg", "-R", "it's", "serve"]),
            (r#"hg -R "a b" serve"#, &["hg", "-R", "a b", "serve"]),
            ("'' a", &["", "a"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("hg;id", &["hg;id"]),
            ("$(id) `id` a|b >c", &["$(id)", "`id`", "a|b", ">c"]),
            ("'$(id)'", &["$(id)"]),
        ];
        for (line, words) in table {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
        for (line, error) in [
            ("hg 'a", SplitError::Quote),
            ("hg \"a'", SplitError::Quote),
            ("hg a\nid", SplitError::Control),
            ("hg 'a\nid'", SplitError::Control),
            ("hg a\0", SplitError::Control),
            ("hg\ta", SplitError::Control),
            (r"hg a\ b", SplitError::Backslash),
            (r#"hg "a\"b""#, SplitError::Backslash),
            (r"hg a\", SplitError::Backslash),
        ] {
            assert_eq!(split(line), Err(error), "{line:?}");
        }
    }
}
