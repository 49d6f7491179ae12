//! What a request asks for, as far as the front must know: Mercurial's wire commands and their arguments.

use std::borrow::Cow;

use http::{HeaderMap, Method};
use mercurial::Class;

/// Wire commands that only read; a POST must be one of them (`httppostargs` puts their arguments into the body).
const READ_COMMANDS: [&str; 19] = [
    "batch",
    "between",
    "branches",
    "branchmap",
    "capabilities",
    "changegroup",
    "changegroupsubset",
    "clonebundles",
    "clonebundles_manifest",
    "debugwireargs",
    "firstpushdate",
    "get_cached_bundle_inline",
    "getbundle",
    "heads",
    "hello",
    "known",
    "listkeys",
    "lookup",
    "pushlog",
];
const STREAMS: [&str; 3] = ["stream_out", "changegroup", "changegroupsubset"];
const WRITE_COMMANDS: [&str; 2] = ["unbundle", "pushkey"];
/// hg numbers its argument headers from 1 (`hg help internals.wireprotocolrpc`).
const MAX_ARGUMENT_HEADERS: usize = 1000;

/// The `cmd` of a request, None for pages.
pub(crate) fn command(query: &str) -> Option<Cow<'_, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "cmd").map(|(_, value)| value)
}

/// Mirrors take no pushes (facts/hgmo.md, A19).
pub(crate) fn is_push(method: &Method, command: Option<&str>) -> bool {
    match command {
        Some(command) if WRITE_COMMANDS.contains(&command) => true,
        Some(command) => *method == Method::POST && !is_read(command),
        None => *method == Method::POST,
    }
}

fn is_read(command: &str) -> bool {
    READ_COMMANDS.contains(&command) || STREAMS.contains(&command)
}

pub(crate) fn class(command: Option<&str>, path_info: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Class {
    let heavy = match command {
        Some("getbundle") => brings_changes(&Arguments::read(query, headers, body)),
        Some(command) => STREAMS.contains(&command),
        None => path_info.starts_with("/archive/") || page(query) == Some("archive"),
    };
    if heavy { Class::Heavy } else { Class::Light }
}

/// `?ca=tip;type=zip` is hgweb's oldest form of an archive's address.
fn page(query: &str) -> Option<&'static str> {
    query.split(['&', ';']).any(|pair| pair.starts_with("ca=")).then_some("archive")
}

struct Arguments {
    common: String,
    heads: String,
    changegroup: bool,
    stream: bool,
}

impl Arguments {
    fn read(query: &str, headers: &HeaderMap, body: &[u8]) -> Arguments {
        let mut arguments =
            Arguments { common: String::new(), heads: String::new(), changegroup: true, stream: false };
        let mut in_headers = Vec::new();
        for number in 1..=MAX_ARGUMENT_HEADERS {
            let Some(value) = headers.get(format!("x-hgarg-{number}")) else { break };
            in_headers.extend_from_slice(value.as_bytes());
        }
        let in_body = match headers.get("x-hgargs-post") {
            Some(length) => length.to_str().ok().and_then(|text| text.parse().ok()).and_then(|n: usize| body.get(..n)),
            None => None,
        };
        for part in [query.as_bytes(), &in_headers, in_body.unwrap_or_default()] {
            for (name, value) in form_urlencoded::parse(part) {
                arguments.set(&name, &value);
            }
        }
        arguments
    }

    fn set(&mut self, name: &str, value: &str) {
        match name {
            "common" => value.clone_into(&mut self.common),
            "heads" => value.clone_into(&mut self.heads),
            "cg" => self.changegroup = value != "0",
            "stream" => self.stream = value == "1",
            _ => {}
        }
    }
}

/// A client that has everything asks all the same (for phases and bookmarks): its heads are then common.
fn brings_changes(arguments: &Arguments) -> bool {
    let common: std::collections::HashSet<&str> = arguments.common.split_whitespace().collect();
    let mut heads = arguments.heads.split_whitespace().peekable();
    let nothing_named = heads.peek().is_none();
    arguments.stream || (arguments.changegroup && (nothing_named || heads.any(|head| !common.contains(head))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_known_by_command_and_method() {
        let push = |method: Method, query: &str| is_push(&method, command(query).as_deref());
        assert!(push(Method::POST, "cmd=unbundle"));
        assert!(push(Method::GET, "x=1&cmd=push%6bey"));
        assert!(push(Method::POST, ""));
        assert!(push(Method::POST, "cmd=invented"));
        assert!(!push(Method::POST, "cmd=batch"));
        assert!(!push(Method::POST, "cmd=stream_out"));
        assert!(!push(Method::GET, "cmd=invented"));
        assert!(!push(Method::GET, ""));
    }

    #[test]
    fn clones_and_pulls_with_changes_are_heavy() {
        let class_of = |query: &str, headers: &[(&'static str, &str)], body: &[u8]| {
            let headers = headers.iter().map(|(n, v)| (http::HeaderName::from_static(n), v.parse().unwrap()));
            let headers: HeaderMap = headers.collect();
            class(command(query).as_deref(), "/", query, &headers, body)
        };
        assert_eq!(class_of("cmd=getbundle", &[], b""), Class::Heavy);
        assert_eq!(
            class_of("cmd=getbundle", &[("x-hgarg-1", "common=aa&hea"), ("x-hgarg-2", "ds=aa")], b""),
            Class::Light
        );
        assert_eq!(class_of("cmd=getbundle", &[("x-hgarg-1", "common=aa+bb&heads=bb+cc")], b""), Class::Heavy);
        assert_eq!(class_of("cmd=getbundle", &[("x-hgarg-1", "cg=0&common=aa&heads=bb")], b""), Class::Light);
        assert_eq!(class_of("cmd=getbundle", &[("x-hgarg-1", "cg=0&stream=1&heads=bb")], b""), Class::Heavy);
        let post = [("x-hgargs-post", "17")];
        assert_eq!(class_of("cmd=getbundle", &post, b"common=a&heads=a&rest"), Class::Light);
        assert_eq!(class_of("cmd=stream_out", &[], b""), Class::Heavy);
        assert_eq!(class_of("cmd=batch", &[], b""), Class::Light);
        assert_eq!(class(None, "/archive/tip.zip", "", &HeaderMap::new(), b""), Class::Heavy);
        assert_eq!(class(None, "/", "ca=tip;type=zip", &HeaderMap::new(), b""), Class::Heavy);
        assert_eq!(class(None, "/rev/tip", "", &HeaderMap::new(), b""), Class::Light);
    }
}
