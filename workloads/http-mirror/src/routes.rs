//! From a request's path to a repository, as the registry says it; no directory is ever read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::{CreationId, RepositoryPath};

/// No repository path is longer (`protocol::RepositoryPath`).
const MAX_PATH_BYTES: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub repository: CreationId,
    pub path: RepositoryPath,
    pub directory: PathBuf,
    pub description: String,
    /// Seconds since 1970.
    pub last_push: Option<u64>,
    /// Away: it exists, and this mirror cannot show it now. Its requests go to a peer.
    pub away: bool,
}

/// All repositories that are served; private ones are not in it.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    by_path: BTreeMap<String, Route>,
}

impl FromIterator<Route> for Routes {
    fn from_iter<T: IntoIterator<Item = Route>>(routes: T) -> Routes {
        Routes { by_path: routes.into_iter().map(|route| (route.path.to_string(), route)).collect() }
    }
}

impl Routes {
    /// The repository with the longest path that `path` begins with, and what follows it; both are decoded. More than
    /// one slash at the beginning is one, as for hgwebdir.
    pub(crate) fn find<'p>(&self, path: &'p [u8]) -> Option<(&Route, &'p [u8])> {
        let path = trim_slashes(path)?;
        let ends = path.iter().enumerate().take(MAX_PATH_BYTES + 1);
        let mut ends: Vec<usize> = ends.filter(|(_, byte)| **byte == b'/').map(|(place, _)| place).collect();
        ends.push(path.len());
        ends.iter().rev().find_map(|end| {
            let (name, rest) = path.split_at_checked(*end)?;
            self.by_path.get(std::str::from_utf8(name).ok()?).map(|route| (route, rest))
        })
    }

    /// Repositories below a directory (`""` is the top), in the order of their paths; None when there is no such
    /// directory. The top is always there.
    pub(crate) fn below(&self, directory: &str) -> Option<Vec<&Route>> {
        let directory = directory.trim_matches('/');
        if directory.is_empty() {
            return Some(self.by_path.values().collect());
        }
        let prefix = format!("{directory}/");
        let from = self.by_path.range(prefix.clone()..);
        let below: Vec<&Route> = from.take_while(|(path, _)| path.starts_with(&prefix)).map(|(_, r)| r).collect();
        if below.is_empty() { None } else { Some(below) }
    }
}

/// None: it does not begin with a slash.
fn trim_slashes(path: &[u8]) -> Option<&[u8]> {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    path.get(slashes..).filter(|_| slashes > 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn route(path: &str) -> Route {
        Route {
            repository: CreationId(1),
            path: path.parse().unwrap(),
            directory: "/d".into(),
            description: String::new(),
            last_push: None,
            away: false,
        }
    }

    #[test]
    fn the_longest_path_wins() {
        let routes: Routes = ["a", "a/b", "c/d/e", "a.b"].map(route).into_iter().collect();
        let found =
            |path: &str| routes.find(path.as_bytes()).map(|(route, rest)| (route.path.to_string(), rest.to_owned()));
        let is = |path: &str, rest: &str| Some((path.to_owned(), rest.as_bytes().to_owned()));
        assert_eq!(found("/a"), is("a", ""));
        assert_eq!(found("/a/"), is("a", "/"));
        assert_eq!(found("/a/b/rev/1"), is("a/b", "/rev/1"));
        assert_eq!(found("/a/bc/rev/1"), is("a", "/bc/rev/1"));
        assert_eq!(found("/c/d/e/"), is("c/d/e", "/"));
        assert_eq!(found("//a/b/rev"), is("a/b", "/rev"));
        assert_eq!(found("///a//rev"), is("a", "//rev"));
        for none in ["/", "//", "", "a", "/c/d", "/c//d/e", "/ab", "/x/a"] {
            assert_eq!(found(none), None, "{none}");
        }
        assert_eq!(found(&format!("/{}", "x/".repeat(10_000))), None);
        assert_eq!(found(&format!("/a/{}", "x/".repeat(10_000))).unwrap().0, "a");
        assert_eq!(found(&format!("/{}", "ä".repeat(500))), None);
    }

    #[test]
    fn directories_are_the_beginnings_of_paths() {
        let routes: Routes = ["a/x", "a/y/z", "a.b", "b"].map(route).into_iter().collect();
        let below = |d: &str| routes.below(d).map(|list| list.iter().map(|r| r.path.to_string()).collect::<Vec<_>>());
        assert_eq!(below("").unwrap().len(), 4);
        assert_eq!(below("/a/").unwrap(), ["a/x", "a/y/z"]);
        assert_eq!(below("a/y").unwrap(), ["a/y/z"]);
        assert_eq!(below("nothing"), None);
        assert_eq!(Routes::default().below("/").unwrap().len(), 0);
    }
}
