//! Sequence of what one repository was pushed to be, step by step, and what readers have seen of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use scenarios::{New, State};

pub const NULL: &str = "0000000000000000000000000000000000000000";

/// View: what one answer says about a whole repository.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub heads: Option<Vec<String>>,
    pub branches: Option<BTreeMap<String, Vec<String>>>,
    pub bookmarks: Option<BTreeMap<String, String>>,
    pub drafts: Option<Vec<String>>,
}

pub struct Sequence {
    path: String,
    inner: Mutex<Inner>,
}

struct Inner {
    states: Vec<State>,
    files: HashMap<String, New>,
    /// Hashes that a mirror showed.
    seen: Vec<String>,
    known: HashSet<String>,
    /// Per mirror the oldest state that its last view can be.
    reached: Vec<usize>,
}

impl Sequence {
    pub fn new(path: &str, mirrors: usize) -> Sequence {
        let empty = State { heads: vec![NULL.to_owned()], ..State::default() };
        let inner = Inner {
            states: vec![empty],
            files: HashMap::new(),
            seen: Vec::new(),
            known: HashSet::new(),
            reached: vec![0; mirrors],
        };
        Sequence { path: path.to_owned(), inner: Mutex::new(inner) }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn append(&self, state: State) {
        let mut inner = self.inner.lock().unwrap();
        inner.files.extend(state.new.iter().map(|new| (new.node.clone(), new.clone())));
        inner.states.push(state);
    }

    pub fn pushes(&self) -> usize {
        self.inner.lock().unwrap().states.len() - 1
    }

    pub fn seen(&self) -> usize {
        self.inner.lock().unwrap().seen.len()
    }

    pub fn last(&self) -> State {
        self.inner.lock().unwrap().states.last().unwrap().clone()
    }

    /// Before a request: how far this mirror's view has been.
    pub fn reached(&self, mirror: usize) -> usize {
        self.inner.lock().unwrap().reached[mirror]
    }

    /// After it: the view is one of the pushed states, and none before `from`. Answers hashes that nobody saw before.
    pub fn look(&self, mirror: usize, from: usize, view: &View) -> Result<Vec<String>, String> {
        let mut inner = self.inner.lock().unwrap();
        let place = inner.states.iter().skip(from).position(|state| view.is_of(state));
        let Some(place) = place else {
            let before = inner.states[..from].iter().rposition(|state| view.is_of(state));
            let newest = inner.states.len() - 1;
            return Err(match before {
                Some(place) => format!("mirror {mirror} went back from state {from} to {place} (newest {newest})"),
                None => format!("mirror {mirror} shows what never was (from {from}, newest {newest}): {view:?}"),
            });
        };
        inner.reached[mirror] = inner.reached[mirror].max(from + place);
        Ok(inner.note(view.hashes()))
    }

    /// The same for hashes that a page lists.
    pub fn listed(&self, hashes: Vec<String>) -> Vec<String> {
        self.inner.lock().unwrap().note(hashes)
    }

    /// One of those that were seen on any mirror.
    pub fn any_seen(&self, number: u64) -> Option<String> {
        let inner = self.inner.lock().unwrap();
        let count = u64::try_from(inner.seen.len()).unwrap();
        if count == 0 {
            return None;
        }
        Some(inner.seen[usize::try_from(number % count).unwrap()].clone())
    }

    /// Answers what a changeset wrote into which file.
    pub fn content(&self, hash: &str) -> New {
        self.inner.lock().unwrap().files[hash].clone()
    }
}

impl Inner {
    fn note(&mut self, hashes: Vec<String>) -> Vec<String> {
        let mut fresh = Vec::new();
        for hash in hashes {
            if hash != NULL && self.known.insert(hash.clone()) {
                self.seen.push(hash.clone());
                fresh.push(hash);
            }
        }
        fresh
    }
}

impl View {
    fn is_of(&self, state: &State) -> bool {
        self.heads.as_ref().is_none_or(|heads| *heads == state.heads)
            && self.branches.as_ref().is_none_or(|branches| *branches == state.branches)
            && self.bookmarks.as_ref().is_none_or(|bookmarks| *bookmarks == state.bookmarks)
            && self.drafts.as_ref().is_none_or(|drafts| *drafts == state.drafts)
    }

    fn hashes(&self) -> Vec<String> {
        let branches = self.branches.iter().flatten().flat_map(|(_, heads)| heads);
        let bookmarks = self.bookmarks.iter().flatten().map(|(_, hash)| hash);
        let heads = self.heads.iter().flatten();
        heads.chain(branches).chain(bookmarks).chain(self.drafts.iter().flatten()).cloned().collect()
    }
}
