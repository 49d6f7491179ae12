//! Values of a push that would not come back from a repository's files as they went in: two copies would differ for
//! ever. The extension refuses more, in the words of `hg bookmark`; an import may bring what only that refuses.

use crate::messages::PushedParts;

/// A longer name makes lines that no person and no page can show.
const MAX_NAME_BYTES: usize = 1024;

/// The sentence for the person who pushes; None: all of them survive. What is to be deleted may have any name.
pub fn unfit(push: &PushedParts) -> Option<String> {
    let mut made = push.bookmarks.iter().filter(|(_, _, new)| new.is_some());
    made.find_map(|(name, _, _)| label(name).map(|why| format!("bookmark {name:?} cannot be made: {why}")))
}

fn label(name: &str) -> Option<&'static str> {
    let blank = |c: char| c.is_ascii_whitespace() || c == '\x0b';
    if name.is_empty() {
        Some("a name has at least one character")
    } else if name.len() > MAX_NAME_BYTES {
        Some("a name has at most 1024 bytes")
    } else if name.trim_matches(blank) != name {
        Some("a name has no blank at its ends")
    } else if name.contains(['\0', '\n', '\r']) {
        Some("a name has no line end and no zero byte")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_not_survive_is_refused_unless_it_is_to_be_deleted() {
        let push = |name: &str, new: serde_json::Value| -> PushedParts {
            serde_json::from_value(serde_json::json!({
                "changesets": 0, "tip": null, "headsAdded": [], "headsRemoved": [], "heads": 1,
                "bookmarks": [[name, null, new]], "published": [], "nodes": null, "bundle": null, "markers": null,
            }))
            .unwrap()
        };
        let somewhere = serde_json::json!("1".repeat(40));
        let long = "x".repeat(1025);
        let unfits = ["", " ", "\t", " a", "a ", "a\x0b", "a\nb", "a\rb", "a\0b", &long];
        for name in unfits {
            let why = unfit(&push(name, somewhere.clone()));
            assert!(why.is_some_and(|why| !why.contains('\n') && why.contains("cannot be made")), "{name:?}");
            assert_eq!(unfit(&push(name, serde_json::Value::Null)), None, "{name:?} may be deleted");
        }
        for name in ["a", "a b", "@", "12", "a:b", "feature/x", "ünïcode"] {
            assert_eq!(unfit(&push(name, somewhere.clone())), None, "{name:?}");
        }
    }
}
