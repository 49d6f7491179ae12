//! Second stage: who answers a request. Pure: the registry's paths and whether this mirror has caught up go in.

use crate::admit::Head;
use crate::index;
use crate::routes::{Route, Routes};

/// Pages of ours stand below it. No part of a repository's path begins with `-` ([`protocol::RepositoryPath`]).
const OWN: &[u8] = b"-";

/// Everybody who may answer a request that was admitted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answerer<'r> {
    /// Own: a page of this server.
    Own(Own),
    /// The list of the repositories below a directory.
    Index { directory: String, below: Vec<&'r Route> },
    /// Nobody: there is no such repository.
    Nobody,
    /// Peer: another mirror, because this one cannot show it now. None: it does not know yet whose request this is.
    Peer(Option<&'r Route>),
    /// One of Mercurial's workers here; the path in the repository is decoded.
    Worker { route: &'r Route, path_info: &'r [u8] },
}

/// Pages below `/-/`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Alive: for whoever asks whether this process answers.
    Alive,
    /// Ready: for load balancers that ask on the port of the readers.
    Ready,
    /// None of these; its name.
    Unknown(String),
}

/// `has_caught_up`: only then what is not found is known not to exist.
pub(crate) fn route<'r>(routes: &'r Routes, head: &'r Head, has_caught_up: bool) -> Answerer<'r> {
    if let Some(page) = own(&head.path) {
        return Answerer::Own(page);
    }
    match routes.find(&head.path) {
        Some((route, _)) if route.away => Answerer::Peer(Some(route)),
        Some((route, path_info)) => Answerer::Worker { route, path_info },
        None if !has_caught_up => Answerer::Peer(None),
        None => missing(routes, head),
    }
}

fn missing<'r>(routes: &'r Routes, head: &Head) -> Answerer<'r> {
    let path = String::from_utf8_lossy(&head.path);
    let directory = index::directory(&path);
    match routes.below(directory).filter(|_| head.command.is_none()) {
        Some(below) => Answerer::Index { directory: directory.to_owned(), below },
        None => Answerer::Nobody,
    }
}

/// As with repositories, more than one slash at the beginning is one.
fn own(path: &[u8]) -> Option<Own> {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    let rest = path.get(slashes..).filter(|_| slashes > 0)?.strip_prefix(OWN)?;
    let name = match rest {
        [] => rest,
        [b'/', name @ ..] => name,
        _ => return None,
    };
    Some(match name {
        b"alive" => Own::Alive,
        b"ready" => Own::Ready,
        other => Own::Unknown(String::from_utf8_lossy(other).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::tests::route as known;

    #[test]
    fn each_request_has_one_who_answers_it() {
        let away = Route { away: true, ..known("gone") };
        let routes: Routes = [known("a/b"), known("c"), away].into_iter().collect();
        let of = |path: &str, command: Option<&str>, has_caught_up: bool| {
            let head = Head { command: command.map(str::to_owned), path: path.as_bytes().to_owned() };
            match route(&routes, &head, has_caught_up) {
                Answerer::Own(page) => format!("{page:?}"),
                Answerer::Index { directory, below } => format!("index of '{directory}': {}", below.len()),
                Answerer::Nobody => "nobody".to_owned(),
                Answerer::Peer(None) => "a peer".to_owned(),
                Answerer::Peer(Some(route)) => format!("a peer for {}", route.path),
                Answerer::Worker { route, path_info } => {
                    format!("worker of {} for '{}'", route.path, String::from_utf8_lossy(path_info))
                }
            }
        };
        for (path, command, has_caught_up, who) in [
            ("/", None, true, "index of '': 3"),
            ("/", None, false, "a peer"),
            ("/a", None, true, "index of 'a': 1"),
            ("/a/index", None, true, "index of 'a/': 1"),
            ("/a", Some("heads"), true, "nobody"),
            ("/a/b", Some("heads"), true, "worker of a/b for ''"),
            ("/a/b/rev/tip", None, false, "worker of a/b for '/rev/tip'"),
            ("//c", None, true, "worker of c for ''"),
            ("/gone/log", None, true, "a peer for gone"),
            ("/gone/log", None, false, "a peer for gone"),
            ("/nowhere", None, true, "nobody"),
            ("/nowhere", None, false, "a peer"),
            ("/-", None, true, "Unknown(\"\")"),
            ("/-/alive", None, false, "Alive"),
            ("//-/ready", None, true, "Ready"),
            ("//-/x/y", Some("heads"), true, "Unknown(\"x/y\")"),
            ("/-x", None, true, "nobody"),
            ("/c/-/x", None, true, "worker of c for '/-/x'"),
            ("-/x", None, true, "nobody"),
        ] {
            assert_eq!(of(path, command, has_caught_up), who, "{path} {command:?}");
        }
    }

    #[test]
    fn no_repository_can_take_the_place_of_our_pages() {
        for path in ["-", "-/a", "a/-", "-a"] {
            assert!(path.parse::<protocol::RepositoryPath>().is_err(), "{path}");
        }
    }
}
