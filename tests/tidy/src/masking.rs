//! Code without its comments and strings: their characters become spaces, so that places stay the same.

/// Masks Rust or Go: `//`, nested `/* */`, strings, raw strings and character literals.
pub(crate) fn rust(text: &str) -> String {
    let mut masked = Masked::new(text);
    while let Some(character) = masked.peek(0) {
        match character {
            '/' if masked.peek(1) == Some('/') => masked.hide_until(|rest| rest.starts_with(&['\n'])),
            '/' if masked.peek(1) == Some('*') => block_comment(&mut masked),
            'r' if masked.at_word_start() && raw_hashes(&masked).is_some() => raw_string(&mut masked),
            '"' => quoted(&mut masked, '"'),
            '\'' if is_character_literal(&masked) => quoted(&mut masked, '\''),
            _ => masked.show(),
        }
    }
    masked.done
}

/// Masks Python: `#` comments and strings of all four quotes.
pub(crate) fn python(text: &str) -> String {
    let mut masked = Masked::new(text);
    while let Some(character) = masked.peek(0) {
        match character {
            '#' => masked.hide_until(|rest| rest.starts_with(&['\n'])),
            '"' | '\'' if masked.peek(1) == Some(character) && masked.peek(2) == Some(character) => {
                masked.hide(3);
                masked.hide_until(|rest| rest.starts_with(&[character; 3]));
                masked.hide(3);
            }
            '"' | '\'' => quoted(&mut masked, character),
            _ => masked.show(),
        }
    }
    masked.done
}

/// Masked Rust without the blocks that `#[cfg(test)]` stands before.
pub(crate) fn without_tests(masked: &str) -> String {
    let mut kept = masked.to_owned();
    while let Some(start) = kept.find("#[cfg(test)]") {
        let end = end_of_item(&kept, start + "#[cfg(test)]".len());
        let blank: String = kept[start..end].chars().map(blank).collect();
        kept.replace_range(start..end, &blank);
    }
    kept
}

/// Only what [`without_tests`] takes away.
pub(crate) fn only_tests(masked: &str) -> String {
    let without = without_tests(masked);
    masked.chars().zip(without.chars()).map(|(all, kept)| if all == kept { blank(all) } else { all }).collect()
}

/// After the item that begins at `from`: after its `;`, or after the brace that closes its first block.
pub(crate) fn end_of_item(masked: &str, from: usize) -> usize {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (place, character) in masked[from..].char_indices() {
        match character {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            '{' => curly += 1,
            '}' => curly -= 1,
            _ => {}
        }
        let ends = (character == ';' && round == 0 && curly == 0) || (character == '}' && curly == 0);
        if ends {
            return from + place + 1;
        }
    }
    masked.len()
}

fn blank(character: char) -> char {
    if character == '\n' { '\n' } else { ' ' }
}

struct Masked {
    text: Vec<char>,
    place: usize,
    done: String,
}

impl Masked {
    fn new(text: &str) -> Masked {
        Masked { text: text.chars().collect(), place: 0, done: String::with_capacity(text.len()) }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.place + ahead).copied()
    }

    fn show(&mut self) {
        self.done.extend(self.peek(0));
        self.place += 1;
    }

    fn hide(&mut self, count: usize) {
        for _ in 0..count {
            self.done.extend(self.peek(0).map(blank));
            self.place += 1;
        }
    }

    fn hide_until(&mut self, end: impl Fn(&[char]) -> bool) {
        while self.place < self.text.len() && !end(&self.text[self.place..]) {
            self.hide(if self.peek(0) == Some('\\') { 2 } else { 1 });
        }
    }

    /// True as well after the `b` of a byte string.
    fn at_word_start(&self) -> bool {
        let before = |back: usize| self.place.checked_sub(back).and_then(|place| self.text.get(place));
        let in_word = |character: Option<&char>| character.is_some_and(|c| c.is_alphanumeric() || *c == '_');
        !in_word(before(1)) || (before(1) == Some(&'b') && !in_word(before(2)))
    }
}

fn quoted(masked: &mut Masked, quote: char) {
    masked.hide(1);
    masked.hide_until(|rest| rest.starts_with(&[quote]));
    masked.hide(1);
}

fn block_comment(masked: &mut Masked) {
    let mut depth = 0;
    loop {
        match (masked.peek(0), masked.peek(1)) {
            (Some('/'), Some('*')) => depth += 1,
            (Some('*'), Some('/')) => depth -= 1,
            (None, _) => return,
            _ => {
                masked.hide(1);
                continue;
            }
        }
        masked.hide(2);
        if depth == 0 {
            return;
        }
    }
}

/// How many `#` a raw string has that begins here.
fn raw_hashes(masked: &Masked) -> Option<usize> {
    let hashes = (1..).take_while(|ahead| masked.peek(*ahead) == Some('#')).count();
    (masked.peek(1 + hashes) == Some('"')).then_some(hashes)
}

fn raw_string(masked: &mut Masked) {
    let hashes = raw_hashes(masked).unwrap_or(0);
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    masked.hide(2 + hashes);
    while masked.place < masked.text.len() && !masked.text[masked.place..].starts_with(&end) {
        masked.hide(1);
    }
    masked.hide(end.len());
}

/// Else it begins a lifetime.
fn is_character_literal(masked: &Masked) -> bool {
    masked.peek(1) == Some('\\') || masked.peek(2) == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_become_spaces() {
        let code = "a /* x /* y */ z */ b // c\n\"s \\\" t\" d 'x' '\\'' &'a e r#\"raw \" x\"# f br\"g\" h";
        let masked = rust(code);
        assert_eq!(masked.chars().count(), code.chars().count());
        let words: Vec<&str> = masked.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "d", "&'a", "e", "f", "b", "h"]);
        let masked = python("a = 'x' # y\n'''t\n'u' ''' + b");
        assert_eq!(masked.split_whitespace().collect::<Vec<_>>(), ["a", "=", "+", "b"]);
        assert_eq!(masked.lines().count(), 3);
    }

    #[test]
    fn modules_of_tests_are_found() {
        let code = "fn a() {}\n#[cfg(test)]\nmod t { fn b() { x; } }\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}\n";
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&without_tests(code)), "fn a() {} fn c() {} fn e() {}");
        assert_eq!(words(&only_tests(code)), "#[cfg(test)] mod t { fn b() { x; } } #[cfg(test)] mod d;");
    }
}
