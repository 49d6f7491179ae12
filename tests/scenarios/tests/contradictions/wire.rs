//! Mercurial's wire protocol over HTTP, as far as the checker reads it (`hg help internals.wireprotocol`).

use std::collections::BTreeMap;

use crate::sequence::View;

/// Four commands in one request, which must all tell of one state.
pub const WHOLE: &str =
    "cmd=batch&cmds=heads+%3Bbranchmap+%3Blistkeys+namespace%3Dbookmarks%3Blistkeys+namespace%3Dphases";
pub const HEADS: &str = "cmd=heads";
pub const BRANCHES: &str = "cmd=branchmap";
pub const BOOKMARKS: &str = "cmd=listkeys&namespace=bookmarks";
pub const PHASES: &str = "cmd=listkeys&namespace=phases";

pub fn view(command: &str, body: &str) -> View {
    match command {
        WHOLE => whole(body),
        HEADS => View { heads: Some(words(body)), ..View::default() },
        BRANCHES => View { branches: Some(branches(body)), ..View::default() },
        BOOKMARKS => View { bookmarks: Some(keys(body)), ..View::default() },
        PHASES => View { drafts: Some(drafts(body)), ..View::default() },
        other => panic!("{other} is no question about a whole repository"),
    }
}

fn whole(body: &str) -> View {
    let unescaped = |part: &str| part.replace(":e", "=").replace(":s", ";").replace(":o", ",").replace(":c", ":");
    let parts: Vec<String> = body.split(';').map(unescaped).collect();
    let [heads, map, marks, phases] = parts.as_slice() else { panic!("four answers: {body:?}") };
    View {
        heads: Some(words(heads)),
        branches: Some(branches(map)),
        bookmarks: Some(keys(marks)),
        drafts: Some(drafts(phases)),
    }
}

fn words(body: &str) -> Vec<String> {
    let mut words: Vec<String> = body.split_whitespace().map(str::to_owned).collect();
    words.sort();
    words
}

fn branches(body: &str) -> BTreeMap<String, Vec<String>> {
    let line = |line: &str| line.split_once(' ').map(|(name, heads)| (name.to_owned(), words(heads)));
    body.lines().filter_map(line).collect()
}

fn keys(body: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once('\t').map(|(key, value)| (key.to_owned(), value.to_owned()));
    body.lines().filter_map(pair).collect()
}

fn drafts(body: &str) -> Vec<String> {
    keys(body).into_keys().filter(|key| key.len() == 40).collect()
}
