//! Wire commands: what a request will run. Decided once, on the decoded request and by hgweb's own rules, for
//! everybody who has to know: two parsers that differ would let heavy work pass for light, or a push for a read.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderMap, HeaderName};
use mercurial::{Class, Permission, WireCommands};

use crate::arguments::Arguments;

const STREAMS: [&str; 4] = ["stream_out", "changegroup", "changegroupsubset", "get_cached_bundle_inline"];

/// Malformed: nobody can answer, because it can be read in two ways.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the query has 'cmd' more than once: say which one is meant")]
    Commands,
    #[error("the header '{0}' comes more than once: send one")]
    Repeated(HeaderName),
    #[error("the header 'X-HgArgs-Post' must be the number of bytes of the body that are arguments")]
    PostLength,
    #[error("arguments in the body must be ASCII: percent-encode other bytes")]
    PostBytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    Command(String, Permission),
    /// One of hgweb's pages; empty is the first.
    Page(String),
}

/// `path_info` is decoded.
pub fn runs(query: &str, path_info: &[u8], commands: &WireCommands) -> Result<Runs, Malformed> {
    Ok(match command(query)? {
        Some(name) => match commands.permission(&name) {
            Some(permission) => Runs::Command(name.into_owned(), permission),
            None => Runs::Page(name.into_owned()),
        },
        None => Runs::Page(page(path_info)),
    })
}

/// The `cmd` of a request; hgweb takes the last, others the first.
pub(crate) fn command(query: &str) -> Result<Option<Cow<'_, str>>, Malformed> {
    let mut commands = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "cmd");
    let first = commands.next();
    match commands.next() {
        None => Ok(first.map(|(_, value)| value)),
        Some(_) => Err(Malformed::Commands),
    }
}

/// `/raw-file/tip/x` is the page `file` in the style `raw`.
fn page(path_info: &[u8]) -> String {
    let mut parts = path_info.split(|byte| *byte == b'/').skip_while(|part| part.is_empty());
    let first = String::from_utf8_lossy(parts.next().unwrap_or_default());
    first.rsplit_once('-').map_or(&*first, |(_, name)| name).to_owned()
}

/// Headers of which there may be one only. Of `X-HgArg-1` and the like our parsers would choose differently.
pub(crate) fn check_headers(headers: &HeaderMap) -> Result<(), Malformed> {
    let single = |name: &HeaderName| name == HOST || name.as_str().starts_with("x-hg");
    match headers.keys().find(|name| single(name) && headers.get_all(*name).iter().count() > 1) {
        Some(name) => Err(Malformed::Repeated(name.clone())),
        None => Ok(()),
    }
}

pub fn class(runs: &Runs, query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Class, Malformed> {
    let arguments = || Arguments::read(query, headers, body);
    let heavy = match runs {
        Runs::Page(name) => name == "archive",
        Runs::Command(name, _) if name == "getbundle" => brings_changes(&arguments()?),
        Runs::Command(name, _) if name == "batch" => arguments()?.get("cmds").split(';').any(is_heavy_in_batch),
        Runs::Command(name, _) => {
            arguments()?;
            STREAMS.contains(&name.as_str())
        }
    };
    Ok(if heavy { Class::Heavy } else { Class::Light })
}

fn is_heavy_in_batch(call: &str) -> bool {
    let name = call.split(' ').next().unwrap_or_default();
    name == "getbundle" || STREAMS.contains(&name)
}

/// A client that has everything asks all the same (for phases and bookmarks): its heads are then common.
fn brings_changes(arguments: &Arguments) -> bool {
    // As Mercurial reads a boolean.
    let is_true = |name, default: bool| arguments.find(name).map_or(default, |value| !matches!(value, "" | "0"));
    let common: std::collections::HashSet<&str> = arguments.get("common").split_whitespace().collect();
    let mut heads = arguments.get("heads").split_whitespace().peekable();
    let nothing_named = heads.peek().is_none();
    is_true("stream", false) || (is_true("cg", true) && (nothing_named || heads.any(|head| !common.contains(head))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> WireCommands {
        let names = ["batch", "getbundle", "heads", "known", "stream_out", "evolve_reads"];
        let pulls = names.map(|name| (name, Permission::Pull));
        pulls.into_iter().chain([("unbundle", Permission::Push), ("pushkey", Permission::Push)]).collect()
    }

    fn page(name: &str) -> Result<Runs, Malformed> {
        Ok(Runs::Page(name.to_owned()))
    }

    fn command_of(name: &str, permission: Permission) -> Result<Runs, Malformed> {
        Ok(Runs::Command(name.to_owned(), permission))
    }

    #[test]
    fn what_runs_is_what_hgweb_would_run() {
        let runs = |query: &str, path: &[u8]| runs(query, path, &commands());
        assert_eq!(runs("cmd=heads", b""), command_of("heads", Permission::Pull));
        assert_eq!(runs("x=1&c%6dd=push%6bey", b"/"), command_of("pushkey", Permission::Push));
        assert_eq!(runs("cmd=evolve_reads", b""), command_of("evolve_reads", Permission::Pull));
        for twice in ["cmd=heads&cmd=stream_out", "cmd=stream_out&x&cmd=heads", "cmd=heads&c%6Dd=heads"] {
            assert_eq!(runs(twice, b""), Err(Malformed::Commands), "{twice}");
        }
        // What is no command is a page, and `cmd` goes before the path.
        assert_eq!(runs("cmd=archive&node=tip&type=zip", b"/rev/tip"), page("archive"));
        assert_eq!(runs("", b"/archive/tip.zip"), page("archive"));
        assert_eq!(runs("", b"//raw-archive/tip.zip"), page("archive"));
        assert_eq!(runs("style=x", b"/rev/a/archive"), page("rev"));
        assert_eq!(runs("cmd", b""), page(""));
        assert_eq!(runs("", b""), page(""));
        assert_eq!(runs("", b"/\xff-log"), page("log"));
    }

    fn class_of(query: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Result<Class, Malformed> {
        let headers = headers.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap()));
        let headers: HeaderMap = headers.collect();
        class(&runs(query, b"", &commands())?, query, &headers, body)
    }

    #[test]
    fn clones_and_pulls_with_changes_are_heavy() {
        let (light, heavy) = (Ok(Class::Light), Ok(Class::Heavy));
        assert_eq!(class_of("cmd=getbundle", &[], b""), heavy);
        assert_eq!(class_of("cmd=getbundle", &[("x-hgarg-1", "common=aa&hea"), ("x-hgarg-2", "ds=aa")], b""), light);
        assert_eq!(class_of("cmd=getbundle", &[("x-hgarg-1", "common=aa+bb&heads=bb+cc")], b""), heavy);
        assert_eq!(class_of("cmd=getbundle", &[("x-hgarg-1", "cg=0&common=aa&heads=bb")], b""), light);
        assert_eq!(class_of("cmd=getbundle&cg=&heads=bb", &[], b""), light);
        for stream in ["1", "2", "true"] {
            let arguments = format!("cg=0&stream={stream}&heads=bb");
            assert_eq!(class_of("cmd=getbundle", &[("x-hgarg-1", &arguments)], b""), heavy);
        }
        let post = [("x-hgargs-post", "17")];
        assert_eq!(class_of("cmd=getbundle", &post, b"common=a&heads=a&rest"), light);
        assert_eq!(class_of("cmd=stream_out", &[], b""), heavy);
        assert_eq!(class_of("cmd=batch", &[], b""), light);
        assert_eq!(class_of("cmd=batch", &[("x-hgarg-1", "cmds=heads+%3Bknown+nodes%3Da")], b""), light);
        assert_eq!(class_of("cmd=batch", &[("x-hgarg-1", "cmds=heads+%3Bgetbundle+")], b""), heavy);
    }

    #[test]
    fn headers_that_can_be_read_in_two_ways_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append("x-hgarg-1", "common=a".parse().unwrap());
        headers.append("accept", "a".parse().unwrap());
        headers.append("accept", "b".parse().unwrap());
        assert_eq!(check_headers(&headers), Ok(()));
        headers.append("x-hgarg-1", "common=b".parse().unwrap());
        assert_eq!(check_headers(&headers), Err(Malformed::Repeated(HeaderName::from_static("x-hgarg-1"))));
        headers.remove("x-hgarg-1");
        headers.append(HOST, "a".parse().unwrap());
        headers.append(HOST, "a".parse().unwrap());
        assert_eq!(check_headers(&headers), Err(Malformed::Repeated(HOST)));
    }
}
